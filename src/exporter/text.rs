//! Immutable characters: Python's `str`, which has the locked buffer interface alone.
//!
//! `str` offers no `bf_getbuffer`, because nobody could tell what the bytes mean. PEP 298 has it all the same: what a
//! lock gives out is the memory as it is, characters in the narrowest width that fits them all, in the order of the
//! machine (PEP 393).

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::byte_array::never_closed;
use super::{ExportCount, RawExport};
use crate::sync::Arc;

/// A handle to immutable characters; a clone is another handle to the same ones.
#[derive(Clone)]
pub struct Text(Arc<Inner>);

struct Inner {
    count: ExportCount,
    /// Dropped by hand, because a stained object leaks it.
    units: ManuallyDrop<Units>,
}

/// The characters, each as wide as the widest needs.
enum Units {
    One(Box<[u8]>),
    Two(Box<[u16]>),
    Four(Box<[u32]>),
}

/// The greatest character.
const LAST: u32 = 0x10_FFFF;

impl Units {
    /// `None` if one of them is beyond the greatest character.
    fn new(characters: &[u32]) -> Option<Self> {
        Some(match characters.iter().max().copied().unwrap_or(0) {
            0..=0xFF => Self::One(characters.iter().map(|&unit| unit as u8).collect()),
            0x100..=0xFFFF => Self::Two(characters.iter().map(|&unit| unit as u16).collect()),
            0x1_0000..=LAST => Self::Four(characters.into()),
            _ => return None,
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::One(units) => units.len(),
            Self::Two(units) => units.len(),
            Self::Four(units) => units.len(),
        }
    }

    fn get(&self, i: usize) -> Option<u32> {
        match self {
            Self::One(units) => units.get(i).copied().map(u32::from),
            Self::Two(units) => units.get(i).copied().map(u32::from),
            Self::Four(units) => units.get(i).copied(),
        }
    }

    fn width(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Two(_) => 2,
            Self::Four(_) => 4,
        }
    }

    fn base(&self) -> NonNull<u8> {
        match self {
            Self::One(units) => NonNull::from(&**units).cast(),
            Self::Two(units) => NonNull::from(&**units).cast(),
            Self::Four(units) => NonNull::from(&**units).cast(),
        }
    }
}

impl Text {
    /// The name of the type in Python.
    pub const NAME: &'static str = "str";

    /// A new object with these characters.
    pub fn new(text: &str) -> Self {
        let characters: Vec<_> = text.chars().map(u32::from).collect();
        Self::from_characters(&characters).expect("the greatest `char` is the greatest character")
    }

    /// A new object with these characters, surrogates included, as Python allows them. `None` if one of them is
    /// beyond `0x10FFFF`.
    pub fn from_characters(characters: &[u32]) -> Option<Self> {
        let units = ManuallyDrop::new(Units::new(characters)?);
        Some(Self(Arc::new(Inner { count: ExportCount::of_new_object(), units })))
    }

    /// The number of characters.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.units.len()
    }

    /// Are there none?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The character at `i`, if there is one.
    #[inline]
    pub fn get(&self, i: usize) -> Option<u32> {
        self.0.units.get(i)
    }

    /// Bytes per character in memory: 1, 2 or 4.
    #[inline]
    pub fn width(&self) -> usize {
        self.0.units.width()
    }

    /// A copy of what a lock gives out: the characters, each in [`width`](Self::width) bytes in the order of the machine.
    pub fn memory(&self) -> Vec<u8> {
        match &*self.0.units {
            Units::One(units) => units.to_vec(),
            Units::Two(units) => units.iter().flat_map(|unit| unit.to_ne_bytes()).collect(),
            Units::Four(units) => units.iter().flat_map(|unit| unit.to_ne_bytes()).collect(),
        }
    }

    /// Locks at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.count.exports()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What `bf_acquirelockedreadbuffer` does in C: adds one lock and fills in the block (L1).
    #[inline]
    pub fn acquire_raw(&self) -> RawExport {
        never_closed(self.0.count.acquire());
        RawExport { ptr: self.0.units.base(), len: self.len() * self.width(), readonly: true, constant: true }
    }

    /// What `bf_releaselockedbuffer` does in C: takes one lock away (L3). Aborts if there is none (L4).
    ///
    /// # Safety
    /// The caller gives back one lock that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        self.0.count.release(Self::NAME);
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.count.is_stained()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count.check_at_death(Text::NAME);
        if !self.count.is_stained() {
            // SAFETY: the object dies here, so this is done once and nothing uses `units` after it. The count is
            // right and zero, so no lock points to the memory.
            unsafe { ManuallyDrop::drop(&mut self.units) };
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Text").field("len", &self.len()).field("exports", &self.exports()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Access, LockError, NotExported, Provider};
    use super::*;

    /// The bytes that a lock gives out.
    fn locked(text: &Text) -> Vec<u8> {
        let lock = Provider::from(text.clone()).lock(Access::Read).unwrap();
        assert_eq!((text.exports(), lock.address() % text.width()), (1, 0));
        let mut out = vec![0; lock.len()];
        lock.read(0, &mut out);
        out
    }

    #[test]
    fn characters_are_as_wide_as_the_widest_needs() {
        for (text, width) in [("", 1), ("aÿ", 1), ("aĀ", 2), ("a\u{FFFF}", 2), ("a\u{10000}", 4)] {
            let object = Text::new(text);
            let characters: Vec<_> = text.chars().map(u32::from).collect();
            assert_eq!((object.width(), object.len()), (width, characters.len()));
            assert_eq!(object.is_empty(), text.is_empty());
            assert!((0..object.len()).map(|i| object.get(i).unwrap()).eq(characters.iter().copied()));
            assert_eq!(object.get(object.len()), None);
            let expected: Vec<u8> = characters
                .iter()
                .flat_map(|unit| match width {
                    1 => vec![*unit as u8],
                    2 => (*unit as u16).to_ne_bytes().to_vec(),
                    _ => unit.to_ne_bytes().to_vec(),
                })
                .collect();
            assert_eq!((locked(&object), object.memory()), (expected.clone(), expected));
            assert_eq!(object.exports(), 0);
        }
    }

    #[test]
    fn surrogates_are_characters_and_what_unicode_has_not_is_none() {
        let text = Text::from_characters(&[0xD800, 0x41]).unwrap();
        assert_eq!((text.get(0), text.width()), (Some(0xD800), 2));
        assert_eq!(Text::from_characters(&[0x10_FFFF]).unwrap().width(), 4);
        assert!(Text::from_characters(&[0x11_0000]).is_none());
    }

    #[test]
    fn text_is_locked_for_reading_and_nothing_else() {
        let text = Text::new("abc");
        let provider = Provider::from(text.clone());
        assert_eq!(provider.lock(Access::Write).err(), Some(LockError::Absent(Access::Write)));
        assert_eq!(provider.export().err(), Some(NotExported::NoBuffer));
        assert_eq!(text.exports(), 0);
    }

    #[test]
    fn locks_count_exactly_on_many_threads() {
        let text = Text::new("abc");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let provider = Provider::from(text.clone());
                    for _ in 0..if cfg!(miri) { 20 } else { 2_000 } {
                        let lock = provider.lock(Access::Read).unwrap();
                        let mut out = [0; 3];
                        lock.read(0, &mut out);
                        assert_eq!(&out, b"abc");
                    }
                });
            }
        });
        assert_eq!(text.exports(), 0);
        assert!(text.same(&text.clone()) && !text.same(&Text::new("abc")));
    }
}
