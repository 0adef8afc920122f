//! Which thread does which step when.

pub mod lockstep;
