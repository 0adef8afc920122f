//! Steps for which there is no memory.
//!
//! `fail_allocation(3)` says of the step after it that the allocation after three others fails, if it makes so many. Then the
//! step raises a `MemoryError`, and what is left of its objects is not told; but nothing is lost or left behind, which is seen
//! at rest (clause R3), and the process lives. The program ends there.

use super::op::{HELPERS_MODULE, RAW_BUFFER_MODULE, home};
use super::{Arg, Op, Program, SlotKind, Step, Syntax};

/// After how many allocations the step at a place has none, if the one before says so. Hooks, and what is written in Python,
/// are not asked to bear that.
pub fn starves(program: &Program, at: usize) -> Option<usize> {
    let [before, step] = program.steps.get(at.checked_sub(1)?..=at)? else { return None };
    if before.op != Op::Starve || !bears(step) || lends(program) {
        return None;
    }
    match before.args.first() {
        Some(Arg::Int(after)) => usize::try_from(after.value()).ok(),
        _ => None,
    }
}

/// Whether nobody but the interpreter allocates in a step.
fn bears(step: &Step) -> bool {
    let is_own = |name: &str| [HELPERS_MODULE, RAW_BUFFER_MODULE].contains(&home(name).0);
    !step.has_hooks()
        && !matches!(step.op.row().syntax, Syntax::Call(name) if is_own(name))
        && step.find_needed(|slot| slot.kind == SlotKind::Export).is_none()
        && !warns(step)
}

/// Whether a step may come to call a `__buffer__` or `__release_buffer__`, which would have no memory either.
fn lends(program: &Program) -> bool {
    program.steps.iter().any(|step| step.op == Op::NewLender)
}

/// Whether a step warns of something deprecated. Without a frame of Python, as in a worker, a warning that has no memory for the
/// name of its file reads at NULL: `setup_context` in `Python/_warnings.c`.
fn warns(step: &Step) -> bool {
    step.op == Op::NewArray && matches!(step.args.first(), Some(Arg::Str(code)) if **code == *"u")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;

    #[test]
    fn what_the_interpreter_does_by_itself_may_have_no_memory() {
        let starved = |line: &str| {
            let text = format!("# buflock program 1\nfail_allocation(3)\n{line}\nfail_allocation(2)\n");
            starves(&parse(&text).unwrap(), 1)
        };
        assert_eq!(starved("b0 = bytearray(4)"), Some(3));
        assert_eq!(starved("b0.append(65)"), Some(3));
        assert_eq!(starved("b0.append(__index__{return 65})"), None);
        assert_eq!(starved("b0 = mapped_file(b\"ab\")"), None);
        assert_eq!(starved("x0.fields()"), None);
        assert_eq!(starved("b0 = array.array(\"u\", \"ab\")"), None);
        let lender = "# buflock program 1\nx0 = Lender(b0, \"lends\")\nfail_allocation(3)\nv0.release()\n";
        assert_eq!(starves(&parse(lender).unwrap(), 2), None);
        let first = parse("# buflock program 1\nb0 = bytearray(4)\n").unwrap();
        assert_eq!(starves(&first, 0), None);
    }
}
