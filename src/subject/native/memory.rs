//! The memory of each kind of exporter during one of its operations.

use super::super::heap::{Buffer, Memory};
use crate::exporter::{Block, Exported, Items, Map, Operation};

/// How memory of one kind changes its length.
trait Splice {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported>;
}

impl Splice for Operation<'_> {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        let memory = self.resize()?;
        // An object with a planted fault may show bytes that it does not have.
        let (at, end) = (at.min(memory.len()), (at + removed).min(memory.len()));
        memory.splice(at..end, bytes.iter().copied());
        Ok(())
    }
}

impl Splice for Operation<'_, Items> {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        let size = self.itemsize();
        self.splice(at / size, removed / size, bytes)
    }
}

impl Splice for Operation<'_, Map> {
    fn splice_bytes(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        assert!(
            removed == 0 && bytes.is_empty(),
            "a map gains and loses bytes at its end alone, not at {at}"
        );
        self.check_alone()
    }
}

impl<M: Block> Memory for Operation<'_, M>
where
    Self: Splice,
{
    fn length(&self) -> usize {
        Operation::len(self)
    }

    fn contents(&self) -> Buffer {
        let mut bytes = Buffer::from_elem(0, self.len());
        self.read(0, 1, &mut bytes).expect("the contents are within the length");
        bytes
    }

    fn get(&self, place: usize) -> u8 {
        Operation::get(self, place).expect("the place is within the length")
    }

    fn set(&mut self, place: usize, byte: u8) {
        Operation::set(self, place, byte).expect("the place is within the length");
    }

    fn write(&mut self, start: usize, step: isize, bytes: &[u8]) {
        Operation::write(self, start, step, bytes).expect("the places are within the length");
    }

    fn splice(&mut self, at: usize, removed: usize, bytes: &[u8]) -> Result<(), Exported> {
        self.splice_bytes(at, removed, bytes)
    }
}

/// `bytes` and text: no operation writes or resizes them, because [`meaning`] refuses first.
pub(super) struct Immutable<'a>(pub &'a [u8]);

impl Memory for Immutable<'_> {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn contents(&self) -> Buffer {
        Buffer::from_slice(self.0)
    }

    fn get(&self, place: usize) -> u8 {
        self.0[place]
    }

    fn set(&mut self, _: usize, _: u8) {
        unreachable!("it is immutable")
    }

    fn write(&mut self, _: usize, _: isize, _: &[u8]) {
        unreachable!("it is immutable")
    }

    fn splice(&mut self, _: usize, _: usize, _: &[u8]) -> Result<(), Exported> {
        unreachable!("it is immutable")
    }
}
