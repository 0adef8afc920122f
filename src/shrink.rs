//! Makes a program small and keeps what is interesting about it.
//!
//! Greedy, to a fixpoint: each pass proposes smaller programs, the first that is still interesting
//! becomes the program, and when a whole round of passes takes nothing the program is as small as
//! this can make it. Everything is decided by the program and by the answers, so that the same
//! finding shrinks to the same file every time.

mod simpler;

use crate::program::{Arg, Guard, Program, Schedule, Slot, SlotKind, Step, Yields, fixup};

/// How many candidates [`shrink`] tries at most.
pub const CANDIDATES: usize = 4_000;

/// The smallest program that this finds for which `still` says that it is interesting still.
///
/// The given program is interesting: it is not asked about. Expectations are dropped, since they
/// belong to the program as it was.
pub fn shrink(program: &Program, still: impl FnMut(&Program) -> bool) -> Program {
    shrink_within(program, CANDIDATES, still)
}

/// As [`shrink`], with a bound of its own on the number of candidates.
pub fn shrink_within(program: &Program, candidates: usize, still: impl FnMut(&Program) -> bool) -> Program {
    let mut best = Program { since: None, until: None, ..program.clone() };
    settle(&mut best);
    let mut shrinker = Shrinker { best, left: candidates, still };
    let passes: [fn(&mut Shrinker<_>); 11] = [
        Shrinker::cut_the_end,
        Shrinker::drop_chunks,
        Shrinker::merge_threads,
        Shrinker::drop_turns,
        Shrinker::drop_guards,
        Shrinker::skip_middlemen,
        Shrinker::drop_pairs,
        Shrinker::hoist_hooks,
        Shrinker::drop_destinations,
        Shrinker::renumber,
        Shrinker::simplify,
    ];
    loop {
        let before = shrinker.best.clone();
        passes.iter().for_each(|pass| pass(&mut shrinker));
        if shrinker.best == before || shrinker.left == 0 {
            return shrinker.best;
        }
    }
}

fn settle(program: &mut Program) {
    for step in &mut program.steps {
        step.expect = None;
    }
    fixup::fixup(program);
}

struct Shrinker<F> {
    best: Program,
    left: usize,
    still: F,
}

impl<F: FnMut(&Program) -> bool> Shrinker<F> {
    /// Tries a candidate, and takes it if it is interesting still.
    fn attempt(&mut self, mut candidate: Program) -> bool {
        settle(&mut candidate);
        if candidate == self.best || self.left == 0 {
            return false;
        }
        self.left -= 1;
        let taken = (self.still)(&candidate);
        if taken {
            self.best = candidate;
        }
        taken
    }

    /// Tries the best program with a change, unless the change is none.
    fn attempt_with(&mut self, change: impl FnOnce(&mut Program)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        self.attempt(candidate)
    }

    /// The first half, the first three quarters and so on: what follows a finding is of no use.
    fn cut_the_end(&mut self) {
        let mut cut = self.best.steps.len() / 2;
        while cut > 0 {
            let keep = self.best.steps.len().saturating_sub(cut);
            if !self.attempt_with(|program| program.steps.truncate(keep)) {
                cut /= 2;
            }
        }
    }

    /// Chunks of steps, half of them at first and single ones at last.
    fn drop_chunks(&mut self) {
        let mut size = (self.best.steps.len() / 2).max(1);
        loop {
            let mut end = self.best.steps.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                self.attempt_with(|program| drop(program.steps.drain(start..end)));
                end = start.min(self.best.steps.len());
            }
            if size == 1 {
                return;
            }
            size /= 2;
        }
    }

    /// Two steps that belong together: one that fills a slot, and one that uses it.
    fn drop_pairs(&mut self) {
        let mut first = self.best.steps.len();
        while first > 0 {
            first -= 1;
            let mut second = self.best.steps.len();
            while second > first + 1 {
                second -= 1;
                if !belong_together(&self.best.steps[first], &self.best.steps[second]) {
                    continue;
                }
                let taken = self.attempt_with(|program| {
                    program.steps.remove(second);
                    program.steps.remove(first);
                });
                if taken {
                    break;
                }
            }
            first = first.min(self.best.steps.len());
        }
    }

    /// What a hook does may as well be done before the step.
    fn hoist_hooks(&mut self) {
        for at in (0..self.best.steps.len()).rev() {
            let thread = self.best.steps[at].thread;
            let mut which = 0;
            while let Some(hook) = self.best.steps.get(at).and_then(|step| step.hooks().nth(which)).cloned() {
                let hoisted = self.attempt_with(|program| {
                    let hooks = program.steps[at].parts_mut().filter(|part| part.hook().is_some());
                    hooks.skip(which).take(1).for_each(Arg::lose_hook);
                    let steps = hook.methods.into_iter().flat_map(|method| method.steps);
                    let hoisted = steps.map(|step| Step { thread, ..step });
                    program.steps.splice(at..at, hoisted);
                });
                if hoisted {
                    break;
                }
                which += 1;
            }
        }
    }

    /// What is made of a slot may as well be made of what that was made of: a view of an export is one of its exporter.
    fn skip_middlemen(&mut self) {
        for at in 0..self.best.steps.len() {
            for which in 0..self.best.steps[at].args.len() {
                let Some(source) = source_of(&self.best.steps[..at], &self.best.steps[at].args[which]) else {
                    continue;
                };
                self.attempt_with(|program| program.steps[at].args[which] = Arg::Slot(source));
            }
        }
    }

    /// No threads, or fewer of them, or at least fewer steps that are on one.
    fn merge_threads(&mut self) {
        let threads = self.best.threads();
        let clear = |thread: &mut Option<u8>| *thread = None;
        if self.attempt_with(|program| {
            program.steps.iter_mut().for_each(|step| step.change_threads(&mut { clear }));
        }) {
            return;
        }
        for at in 0..self.best.steps.len() {
            self.attempt_with(|program| {
                program.steps[at].hooked_steps_mut().for_each(|inner| inner.change_threads(&mut { clear }));
            });
        }
        for from in (1..threads).rev() {
            for to in 0..from {
                let mut merge = |thread: &mut Option<u8>| {
                    if *thread == Some(from) {
                        *thread = Some(to);
                    }
                };
                if self.attempt_with(|program| {
                    program.steps.iter_mut().for_each(|step| step.change_threads(&mut merge));
                }) {
                    break;
                }
            }
        }
        // The steps at the beginning need no thread.
        let setup = self.best.steps.iter().take_while(|step| step.lane() == 0).count();
        for end in (1..=setup).rev() {
            let clear = |step: &mut Step| step.thread = None;
            if self.attempt_with(|program| program.steps[..end].iter_mut().for_each(clear)) {
                break;
            }
        }
    }

    /// Of the turns that threads take, only those that matter.
    fn drop_turns(&mut self) {
        let Schedule::Explored(turns) = &self.best.schedule else { return };
        for at in (0..turns.0.len()).rev() {
            self.attempt_with(|program| {
                if let Schedule::Explored(turns) = &mut program.schedule {
                    let others = turns.0.iter().enumerate().filter(|(other, _)| *other != at);
                    *turns = others.map(|(_, byte)| *byte).collect();
                }
            });
        }
    }

    /// No locks and no barriers, or fewer of them.
    fn drop_guards(&mut self) {
        let open = |step: &mut Step| step.guard = Guard::None;
        if self.attempt_with(|program| program.steps.iter_mut().for_each(open)) {
            return;
        }
        for at in (0..self.best.steps.len()).rev() {
            self.attempt_with(|program| program.steps.iter_mut().skip(at).take(1).for_each(open));
        }
    }

    /// A result that may be dropped at once is.
    fn drop_destinations(&mut self) {
        for at in 0..self.best.steps.len() {
            if !matches!(self.best.steps[at].op.row().yields, Yields::Into(_)) {
                self.attempt_with(|program| program.steps[at].dest = None);
            }
        }
    }

    /// The lowest slots, in the order in which they are first named.
    fn renumber(&mut self) {
        self.attempt_with(|program| {
            for kind in SlotKind::ALL {
                let mut order: Vec<u8> = Vec::new();
                for_each_slot(program, |slot| {
                    if slot.kind == kind && !order.contains(&slot.index) {
                        order.push(slot.index);
                    }
                });
                for_each_slot(program, |slot| {
                    if slot.kind == kind {
                        let place = order.iter().position(|&index| index == slot.index);
                        slot.index = place.unwrap_or(0) as u8;
                    }
                });
            }
        });
        for at in 0..self.best.steps.len() {
            for index in 0..self.best.steps[at].dest.map_or(0, |slot| slot.index) {
                // Into a slot that is used already, if nothing needs what is there.
                let taken = self.attempt_with(|program| {
                    if let Some(old) = program.steps[at].dest {
                        for_each_slot_of(&mut program.steps[at..], |slot| {
                            if *slot == old {
                                slot.index = index;
                            }
                        });
                    }
                });
                if taken {
                    break;
                }
            }
        }
    }

    /// Fewer and simpler arguments.
    fn simplify(&mut self) {
        for at in 0..self.best.steps.len() {
            while self.best.steps[at].args.len() > self.best.steps[at].op.row().required {
                let shortened = self.attempt_with(|program| drop(program.steps[at].args.pop()));
                if !shortened {
                    break;
                }
            }
            for which in 0..self.best.steps[at].args.len() {
                self.simplify_argument(at, which);
            }
        }
    }

    fn simplify_argument(&mut self, at: usize, which: usize) {
        while let Some(arg) = self.best.steps.get(at).and_then(|step| step.args.get(which)) {
            let simpler = simpler::than(arg);
            if !simpler
                .into_iter()
                .any(|arg| self.attempt_with(|program| program.steps[at].args[which] = arg))
            {
                return;
            }
        }
    }
}

/// The slot of which that of an argument was made, by the last step that filled it.
fn source_of(before: &[Step], arg: &Arg) -> Option<Slot> {
    let Arg::Slot(slot) = arg else { return None };
    let filler = before.iter().rev().find(|step| step.dest == Some(*slot))?;
    match (filler.receiver, filler.args.first()) {
        (Some(source), _) | (None, Some(&Arg::Slot(source))) => Some(source),
        _ => None,
    }
}

/// Whether one step fills a slot that the other names, or both are done on the same slot.
fn belong_together(one: &Step, other: &Step) -> bool {
    let fills = |slot: Slot| other.find_needed(|needed| needed == slot).is_some();
    one.dest.is_some_and(fills) || (one.receiver.is_some() && one.receiver == other.receiver)
}

fn for_each_slot(program: &mut Program, f: impl FnMut(&mut Slot)) {
    for_each_slot_of(&mut program.steps, f);
}

fn for_each_slot_of(steps: &mut [Step], mut f: impl FnMut(&mut Slot)) {
    steps.iter_mut().for_each(|step| step.rename_slots(&mut f));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::generate::{Shape, nth};
    use crate::program::{Op, parse::parse};

    fn read(lines: &str) -> Program {
        parse(&format!("# buflock program 1\n{lines}")).unwrap_or_else(|error| panic!("{error}"))
    }

    fn shrunk(lines: &str, still: impl FnMut(&Program) -> bool) -> String {
        let text = shrink(&read(lines), still).to_string();
        text.lines().skip(1).collect::<Vec<_>>().join("\n")
    }

    fn has(program: &Program, op: Op) -> bool {
        program.steps.iter().any(|step| step.op == op)
    }

    #[test]
    fn a_program_of_which_one_step_matters_is_left_with_that_step() {
        let lines = "b2 = bytearray(16)\nv3 = memoryview(b2)\nT1: b2.append(3)\nT0: v3.release()\n\
                     T2: b2.extend(b\"abc\")\nT0: b2.clear()";
        assert_eq!(shrunk(lines, |program| has(program, Op::Extend)), "b0.extend(None)");
    }

    #[test]
    fn a_chain_of_exports_is_cut_short() {
        let lines =
            "b0 = bytearray(1)\nx0 = PickleBuffer(b0)\nv0 = memoryview(x0)\nv1 = memoryview(v0)\nb0.clear()";
        let viewed = |program: &Program| has(program, Op::NewView) && has(program, Op::Clear);
        let viewed_for_real =
            |program: &Program| viewed(program) && !program.to_string().contains("memoryview(None)");
        let short = shrunk(lines, viewed_for_real);
        assert!(!short.contains("PickleBuffer"), "{short}");
    }

    #[test]
    fn an_acquire_and_its_release_go_together() {
        let lines = "b0 = bytearray(1)\nv0 = memoryview(b0)\nv0.release()\nb0.clear()";
        let balanced = |program: &Program| {
            let count = |op| program.steps.iter().filter(|step| step.op == op).count();
            has(program, Op::Clear) && count(Op::NewView) == count(Op::Release)
        };
        assert_eq!(shrunk(lines, balanced), "b0.clear()");
    }

    #[test]
    fn threads_that_matter_stay() {
        let lines = "b0 = bytearray(8)\nT2: b0.clear()\nT3: b0.append(200)";
        let two = |program: &Program| {
            let steps = &program.steps;
            has(program, Op::Append) && steps.iter().any(|step| step.lane() != steps[0].lane())
        };
        assert_eq!(shrunk(lines, two), "b0 = bytearray()\nT1: b0.append(None)");
    }

    #[test]
    fn slots_get_the_lowest_numbers() {
        let lines = "b3 = bytearray(1)\nv7 = memoryview(b3)\nv2 = v7[1:2:1]";
        let sliced = |program: &Program| {
            let all = [Op::NewByteArray, Op::NewView, Op::Item].iter().all(|&op| has(program, op));
            all && matches!(&program.steps[..], [b, v, part] if b.dest == v.find_needed(|_| true)
                && v.dest == part.receiver && matches!(part.args[0], crate::program::Arg::Slice(_))
                && part.dest.is_some() && part.dest != part.receiver)
        };
        assert_eq!(shrunk(lines, sliced), "b0 = bytearray()\nv0 = memoryview(b0)\nv1 = v0[:]");
    }

    #[test]
    fn what_a_hook_does_is_hoisted_out_where_that_makes_no_difference() {
        let lines =
            "b0 = bytearray(b\"ab\")\nb0.append(__index__{b0.clear(); v0 = memoryview(b0); return 65})";
        let any = |program: &Program, op: Op| {
            let within = |step: &Step| step.hooks().any(|hook| hook.steps().any(|step| step.op == op));
            program.steps.iter().any(|step| step.op == op || within(step))
        };
        let both = |program: &Program| any(program, Op::Append) && any(program, Op::Clear);
        assert_eq!(shrunk(lines, both), "b0.clear()\nb0.append(None)");
        let within = |program: &Program| {
            program
                .steps
                .iter()
                .flat_map(Step::hooks)
                .any(|hook| hook.steps().any(|step| step.op == Op::Clear))
        };
        assert_eq!(shrunk(lines, within), "b0.append(__index__{b0.clear(); return None})");
    }

    #[test]
    fn the_number_of_candidates_is_bounded() {
        let program = nth(3, 4, Shape::default());
        let mut asked = 0;
        shrink_within(&program, 50, |_| {
            asked += 1;
            true
        });
        assert!(asked <= 50);
        let unchanged = shrink_within(&program, 0, |_| true);
        assert_eq!(unchanged.steps.len(), program.steps.len());
    }

    #[test]
    fn shrinking_is_deterministic_and_what_it_leaves_is_interesting_and_valid() {
        for index in 0..30 {
            let program = nth(11, index, Shape::default());
            let op = program.steps[program.steps.len() / 2].op;
            let once = shrink(&program, |candidate| has(candidate, op));
            assert_eq!(once, shrink(&program, |candidate| has(candidate, op)));
            assert_eq!(once.steps.len(), 1, "{once}");
            let mut valid = once.clone();
            fixup::fixup(&mut valid);
            assert_eq!(valid, once);
        }
    }
}
