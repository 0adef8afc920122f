//! Which thread goes on, wherever several could: a schedule as data, which a fuzzer may change byte by byte.
//!
//! Where threads can be switched, those that could go on stand in a row: the one that runs, and then the others in the
//! order of their numbers, from it on and around. One that waits for another stands last. Place 0 goes on by default, so
//! that a schedule says only where it is otherwise, and one that ends goes on with no thread interrupted.
//!
//! ```text
//!   bit  7 .. 2    1 0
//!       +--------+-----+
//!       |  stays | who |     so often the first in the row goes on, and then the one at this place
//!       +--------+-----+
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits;

/// The bits that say who.
const WHO: u8 = limits::THREADS - 1;
const _: () = assert!(limits::THREADS == 4, "two bits say who");
/// The most that one byte says of staying.
const STAYS: u8 = u8::MAX >> 2;

/// Which thread goes on, wherever several could.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Turns(pub Box<[u8]>);

impl Turns {
    /// Reads what [`Turns`] prints.
    pub fn of_hex(digits: &str) -> Option<Turns> {
        if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
            return None;
        }
        let byte = |at: usize| {
            let digits = &digits[at..at + 2];
            digits
                .bytes()
                .all(|digit| digit.is_ascii_hexdigit())
                .then(|| u8::from_str_radix(digits, 16).ok())?
        };
        (0..digits.len()).step_by(2).map(byte).collect::<Option<_>>().map(Turns)
    }

    /// What they say of one place after the other: places in the row.
    pub fn places(&self) -> impl Iterator<Item = usize> + use<'_> {
        let of_byte =
            |&byte: &u8| std::iter::repeat_n(0, usize::from(byte >> 2)).chain([usize::from(byte & WHO)]);
        self.0.iter().flat_map(of_byte).chain(std::iter::repeat(0))
    }
}

impl FromIterator<u8> for Turns {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Turns {
        Turns(bytes.into_iter().collect())
    }
}

/// Two hexadecimal digits a byte.
impl fmt::Display for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Writes down turns as they are taken.
#[derive(Debug, Default)]
pub struct Log {
    bytes: Vec<u8>,
    stays: u8,
}

impl Log {
    /// This place in the row went on.
    pub fn push(&mut self, place: usize) {
        if place == 0 && self.stays < STAYS {
            self.stays += 1;
        } else {
            self.bytes.push(self.stays << 2 | place as u8 & WHO);
            self.stays = 0;
        }
    }

    /// All of them; that the first in the row goes on at the end need not be said.
    pub fn turns(&self) -> Turns {
        let end = self.bytes.iter().rposition(|byte| byte & WHO != 0).map_or(0, |last| last + 1);
        Turns(self.bytes[..end].into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_what_is_said() {
        let taken: Vec<usize> = (0..1_000).map(|at| if at % 71 == 0 { at % 4 } else { 0 }).collect();
        let mut log = Log::default();
        taken.iter().for_each(|&place| log.push(place));
        let turns = log.turns();
        assert_eq!(turns.places().take(taken.len()).collect::<Vec<_>>(), taken);
        assert!(turns.0.len() < 30, "{turns}");
        assert_eq!(Turns::of_hex(&turns.to_string()), Some(turns));
    }

    #[test]
    fn to_go_on_to_the_end_takes_no_bytes() {
        let mut log = Log::default();
        (0..500).for_each(|_| log.push(0));
        assert_eq!(log.turns(), Turns::default());
        log.push(3);
        (0..500).for_each(|_| log.push(0));
        assert_eq!(log.turns().places().position(|place| place == 3), Some(500));
    }

    #[test]
    fn what_is_no_hexadecimal_number_is_no_schedule() {
        assert_eq!(Turns::of_hex(""), Some(Turns::default()));
        for wrong in ["0", "0g", "+1", "é", "00 1"] {
            assert_eq!(Turns::of_hex(wrong), None, "{wrong}");
        }
    }
}
