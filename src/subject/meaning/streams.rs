//! Operations of `io.BytesIO`: `Modules/_io/bytesio.c`.

use super::super::heap::Heap;
use super::Result;
use crate::program::Step;

pub(super) fn run<H: Heap>(_: &mut H, step: &Step) -> Result {
    unreachable!("{:?} is not an operation of io.BytesIO", step.op)
}
