//! What is to be said of what a sanitizer has seen.
//!
//! ThreadSanitizer tells of races on the bytes of an exporter as well, which are nobody's fault (clause D1). It does not
//! say what the memory is that two threads raced for; but a race takes a write, and some functions of CPython write
//! nothing that threads share but such bytes.

use super::{Difference, Divergence};
use crate::program::Program;
use crate::sanitizer::{Alarm, Did, Stack, Tool};

/// The functions of CPython that write to the bytes of an exporter and to nothing else that another thread can see.
const WRITE_BYTES: &[&str] = &[
    // Objects/memoryobject.c: an item, and items from another view
    "copy_base",
    "copy_rec",
    "copy_single",
    "pack_single",
    // Objects/bytearrayobject.c
    "bytearray_reverse_impl",
    "bytearray_setitem",
    // Modules/arraymodule.c: one setter for each type code
    "BB_setitem",
    "HH_setitem",
    "II_setitem",
    "LL_setitem",
    "QQ_setitem",
    "array_array_byteswap_impl",
    "array_array_reverse_impl",
    "b_setitem",
    "d_setitem",
    "f_setitem",
    "h_setitem",
    "i_setitem",
    "l_setitem",
    "q_setitem",
    "u_setitem",
    "w_setitem",
    // Modules/mmapmodule.c
    "mmap_ass_item",
    "mmap_ass_subscript",
    // Modules/_struct.c: one packer for each format, and the padding between
    "bp_*",
    "lp_*",
    "nu_*",
    "np_*",
    "s_pack_internal",
    // Objects/abstract.c
    "PyBuffer_FromContiguous",
    "PyObject_CopyData",
    "_Py_add_one_to_index_C",
];

/// What a sanitizer has seen while `subject` ran a program; `None` if that is no fault.
pub fn alarm(subject: &str, program: &Program, alarm: Alarm) -> Option<Divergence> {
    if alarm.tool == Tool::Thread && alarm.kind == "data race" && is_for_bytes(&alarm) {
        return None;
    }
    let step = alarm.steps().first().copied();
    Some(Divergence::new(subject, program, step, Difference::Alarm(alarm)))
}

/// Whether all that was written was bytes of an exporter.
fn is_for_bytes(alarm: &Alarm) -> bool {
    let mut writes = alarm.acts().filter(|stack| stack.did != Did::Read).peekable();
    writes.peek().is_some() && writes.all(writes_bytes)
}

fn writes_bytes(stack: &Stack) -> bool {
    let is = |name: &&str, function: &str| match name.strip_suffix('*') {
        Some(beginning) => function.starts_with(beginning),
        None => function == *name,
    };
    stack.innermost().is_some_and(|frame| WRITE_BYTES.iter().any(|name| is(name, &frame.function)))
}
