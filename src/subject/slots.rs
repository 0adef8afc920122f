//! The slots of one kind, with a bit for each that is filled.
//!
//! Worlds are compared after every step. Which slots are filled is therefore kept, not looked for.

use std::hash::{Hash, Hasher};
use std::ops::Index;

use crate::program::{Slot, SlotKind};

/// So many slots of one kind, at most 32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots<T, const N: usize> {
    filled: u32,
    objects: [Option<T>; N],
}

impl<T, const N: usize> Slots<T, N> {
    /// All of them empty.
    pub const fn new() -> Self {
        const { assert!(N <= 32) };
        Self { filled: 0, objects: [const { None }; N] }
    }

    /// Which of them are filled, a bit for each.
    #[inline]
    pub fn filled(&self) -> u32 {
        self.filled
    }

    /// Fills a slot and gives what it held.
    #[inline]
    pub fn put(&mut self, slot: Slot, object: T) -> Option<T> {
        self.filled |= 1 << slot.at();
        self.objects[slot.at()].replace(object)
    }

    /// Empties a slot and gives what it held.
    #[inline]
    pub fn take(&mut self, slot: Slot) -> Option<T> {
        self.filled &= !(1 << slot.at());
        self.objects[slot.at()].take()
    }

    /// What a slot holds, to be changed.
    #[inline]
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.objects[slot.at()].as_mut()
    }

    /// All that is held, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let objects = &self.objects;
        let mut left = self.filled;
        std::iter::from_fn(move || {
            let place = left.trailing_zeros() as usize;
            left &= left.wrapping_sub(1);
            objects.get(place)?.as_ref()
        })
    }

    /// Slots that hold what `f` makes of what these hold.
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> Slots<U, N> {
        Slots {
            filled: self.filled,
            objects: std::array::from_fn(|place| self.objects[place].as_ref().map(&f)),
        }
    }

    /// Empties all slots, in order.
    #[inline]
    pub fn clear(&mut self) {
        while self.filled != 0 {
            self.objects[self.filled.trailing_zeros() as usize] = None;
            self.filled &= self.filled - 1;
        }
    }

    /// The first slot that differs: one that is `filled` in one world alone, or that holds something else than
    /// `same` allows.
    #[inline]
    pub fn first_different(
        &self,
        kind: SlotKind,
        filled: u32,
        mut same: impl FnMut(usize, &T) -> bool,
    ) -> Option<Slot> {
        let slot = |bits: u32| Slot::new(kind, bits.trailing_zeros() as u8);
        if self.filled != filled {
            return Some(slot(self.filled ^ filled));
        }
        let mut left = filled;
        while left != 0 {
            let slot = slot(left);
            if !self.objects[slot.at()].as_ref().is_some_and(|object| same(slot.at(), object)) {
                return Some(slot);
            }
            left &= left - 1;
        }
        None
    }
}

impl<T: Hash, const N: usize> Hash for Slots<T, N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filled.hash(state);
        self.iter().for_each(|object| object.hash(state));
    }
}

impl<T, const N: usize> Default for Slots<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Index<usize> for Slots<T, N> {
    type Output = Option<T>;

    #[inline]
    fn index(&self, place: usize) -> &Option<T> {
        &self.objects[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(place: u8) -> Slot {
        Slot::new(SlotKind::View, place)
    }

    #[test]
    fn what_is_filled_is_known_after_every_change() {
        let mut slots = Slots::<_, 4>::new();
        assert_eq!(
            (slots.put(slot(1), 'a'), slots.put(slot(3), 'b'), slots.put(slot(1), 'c')),
            (None, None, Some('a'))
        );
        assert_eq!(slots.filled(), 0b1010);
        assert_eq!((slots.take(slot(0)), slots.take(slot(3))), (None, Some('b')));
        assert_eq!(slots.filled(), 0b0010);
        assert!(slots.iter().eq(&['c']));
        slots.clear();
        assert_eq!(slots, Slots::new());
    }

    #[test]
    fn the_first_slot_that_is_filled_in_one_world_alone_differs() {
        let mut slots = Slots::<_, 8>::new();
        slots.put(slot(1), 1);
        slots.put(slot(3), 3);
        let first =
            |filled, same: fn(usize, &usize) -> bool| slots.first_different(SlotKind::View, filled, same);
        assert_eq!(first(0b1010, |place, held| place == *held), None);
        assert_eq!(first(0b1010, |place, _| place != 3), Some(slot(3)));
        assert_eq!(first(0b1100, |_, _| true), Some(slot(1)));
        assert_eq!(first(0b1011, |_, _| true), Some(slot(0)));
    }
}
