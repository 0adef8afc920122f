//! Operations of `mmap.mmap`: `Modules/mmapmodule.c`.

use super::super::heap::Heap;
use super::Result;
use crate::program::Step;

pub(super) fn run<H: Heap>(_: &mut H, step: &Step) -> Result {
    unreachable!("{:?} is not an operation of mmap.mmap", step.op)
}
