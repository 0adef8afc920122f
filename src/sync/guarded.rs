//! What a lock word guards, without a check.

use std::cell::UnsafeCell;

/// What a lock word guards. Whoever reaches for it says how, which a model checker holds against how others do.
#[derive(Debug)]
pub struct Guarded<T>(UnsafeCell<T>);

impl<T> Guarded<T> {
    /// Guards a value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// To be read, by several threads at once.
    #[inline]
    pub const fn shared(&self) -> *const T {
        self.0.get()
    }

    /// To be written, by one thread while nobody reads.
    #[inline]
    pub const fn unique(&self) -> *mut T {
        self.0.get()
    }

    /// To be done with at will.
    #[inline]
    pub const fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }
}
