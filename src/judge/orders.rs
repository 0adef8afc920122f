//! All orders of the steps that race, as far as the model tells them apart: what whoever has no model can hold threads
//! against.
//!
//! The same law as in [`race`], worked out beforehand: the moments between two steps are the places of a graph, and a
//! step of a thread leads from one to the next if it sees what the model says there. Orders after which nothing differs
//! meet again, so that there are far fewer moments than orders.

use std::collections::HashMap;

use super::race;
use crate::history::Outcome;
use crate::program::guard::{Guard, Passage, passages};
use crate::program::{Program, Slot, Step, racing};
use crate::subject::{Model, Picture};

/// The most moments of a program. One that was shrunk has some dozens.
const MOST: usize = 2_000;

/// All orders of the steps of the threads of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The first is when the threads start.
    pub moments: Vec<Moment>,
    /// For each step, by its place in the program, the steps of other threads that hold an object of it as long as they
    /// run: beside them it may be refused, and then has changed nothing.
    pub holders: Vec<Vec<usize>>,
    /// For each step those of other threads that may see bytes which it writes in place: beside them any will do.
    pub readers: Vec<Vec<usize>>,
}

/// Between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The steps that may be next.
    pub ways: Vec<Way>,
    /// What slots hold when none is left; before, nothing is said of that.
    pub left: Vec<(Slot, Picture)>,
}

/// A step that may be next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Its thread.
    pub thread: u8,
    /// Its place in the program.
    pub step: usize,
    /// What the model says that it sees.
    pub sees: Outcome,
    /// The moment after it.
    pub to: usize,
    /// The moment after it if it was refused because of what others hold; `None` if no other step holds anything of it.
    pub refused: Option<usize>,
}

/// How many steps of each thread are behind.
type Front = Vec<usize>;

/// The moments that are known, and the states of all of them.
#[derive(Default)]
struct Graph {
    places: HashMap<(Front, Model), usize>,
    states: Vec<(Front, Model)>,
}

impl Graph {
    fn place(&mut self, state: (Front, Model)) -> usize {
        let next = self.states.len();
        let Graph { places, states } = self;
        *places.entry(state).or_insert_with_key(|state| {
            states.push(state.clone());
            next
        })
    }
}

/// The steps of threads, and what keeps them apart.
struct Lanes<'p> {
    steps: &'p [Step],
    /// The places of the steps of each thread, in its order.
    places: Vec<Vec<usize>>,
    passages: Vec<Passage>,
}

impl Lanes<'_> {
    fn of(program: &Program) -> Lanes<'_> {
        let steps = &*program.steps;
        let own = |thread| (0..steps.len()).filter(|&at| steps[at].thread == Some(thread)).collect();
        Lanes { steps, places: (0..program.threads()).map(own).collect(), passages: passages(steps) }
    }

    /// The next step of each thread, if it need not wait for another one.
    fn next(&self, front: &Front) -> Vec<(usize, usize)> {
        let next = |(thread, &behind): (usize, &usize)| Some((thread, *self.places[thread].get(behind)?));
        let all: Vec<_> = front.iter().enumerate().filter_map(next).collect();
        let held = |lock: u8| {
            let last = |(lane, &behind): (&Vec<usize>, &usize)| Some(lane[behind.checked_sub(1)?]);
            let mut lasts = self.places.iter().zip(front).filter_map(last);
            let is_in = |at: usize| {
                self.steps[at].guard == Guard::Lock(lock) && self.passages[at].leaves != Some(lock)
            };
            lasts.any(is_in)
        };
        let is_barrier = |at: usize| self.steps[at].guard == Guard::Barrier;
        let may = |&(thread, at): &(usize, usize)| {
            let waits = |&(other, ahead): &(usize, usize)| {
                // Each step before a barrier is done before it, and each behind it waits.
                let mut between = (ahead..at).filter(|&place| is_barrier(place));
                let undone = |place: usize| self.places[other][front[other]..].contains(&place);
                other != thread && ahead < at && (is_barrier(at) || between.any(undone))
            };
            !all.iter().any(waits) && !self.passages[at].takes.is_some_and(held)
        };
        all.iter().copied().filter(may).collect()
    }

    /// For each step those of other threads of which `is` says yes to the two.
    fn others(&self, is: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
        let races = |at: usize| self.steps[at].thread.is_some();
        let all = 0..self.steps.len();
        let of = |at: usize| {
            let apart = |other: &usize| self.steps[at].thread != self.steps[*other].thread && races(*other);
            all.clone().filter(apart).filter(|&other| races(at) && is(at, other)).collect()
        };
        all.clone().map(of).collect()
    }
}

/// The orders of the steps of a program that race from the state of `before` on. `None` if they lead through more moments
/// than anybody wants to be told.
pub fn orders(before: &Model, program: &Program) -> Option<Orders> {
    let (steps, lanes) = (&program.steps, Lanes::of(program));
    let holders = lanes.others(|step, other| race::may_hold(steps, &steps[other], &steps[step]));
    let memory = race::memory(steps);
    let readers = lanes
        .others(|step, other| race::writes_in_place(steps[step].op) && memory[step] & memory[other] != 0);
    let mut graph = Graph::default();
    graph.place((vec![0; lanes.places.len()], before.clone()));
    let mut moments = Vec::new();
    while let Some((front, model)) = graph.states.get(moments.len()).cloned() {
        let mut ways = Vec::new();
        for (thread, step) in lanes.next(&front) {
            let mut front = front.clone();
            front[thread] += 1;
            let mut after = model.clone();
            let sees = after.step(&steps[step]);
            let refused = !holders[step].is_empty();
            let refused = refused.then(|| graph.place((front.clone(), model.clone())));
            ways.push(Way { thread: thread as u8, step, sees, to: graph.place((front, after)), refused });
        }
        let named = |slot: &Slot| steps.iter().any(|step| step.binds() == Some(*slot));
        let shown = || racing::seen_at_last(program.threads()).map(|(slot, _)| slot).filter(named);
        let picture = |slot| (slot, Picture::from(&model.shown(slot)));
        let left = if ways.is_empty() { shown().map(picture).collect() } else { Vec::new() };
        moments.push(Moment { ways, left });
        if graph.states.len() > MOST {
            return None;
        }
    }
    Some(Orders { moments, holders, readers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;
    use crate::subject::Version;

    fn of(lines: &str) -> Option<Orders> {
        let program = parse(&format!("# buflock program 1\n# schedule concurrent\n{lines}")).unwrap();
        let mut before = Model::new(Version::NEWEST);
        let starts = program.steps.iter().take_while(|step| step.thread.is_none());
        starts.for_each(|step| drop(before.step(step)));
        orders(&before, &program)
    }

    #[test]
    fn orders_after_which_nothing_differs_meet_again() {
        let same = of("b0 = bytearray()\nT0: b0.append(1)\nT1: b0.append(1)\n").unwrap();
        assert_eq!(same.moments.len(), 4);
        let others = of("b0 = bytearray()\nT0: b0.append(1)\nT1: b0.append(2)\n").unwrap();
        assert_eq!(others.moments.len(), 5);
    }

    #[test]
    fn what_another_step_holds_may_be_refused() {
        let held = of("b0 = bytearray(b\"ab\")\nT0: b0.clear()\nT1: zlib.crc32(b0)\nT1: b0.pop()\n").unwrap();
        assert_eq!(held.holders, [vec![], vec![2], vec![], vec![]]);
        assert!(held.readers.iter().all(Vec::is_empty));
        let clear = &held.moments[0].ways[0];
        assert_ne!(clear.refused.expect("it may be refused"), clear.to);
        assert_eq!(held.moments[0].ways[1].refused, None);
    }

    #[test]
    fn a_lock_and_a_barrier_leave_fewer_orders() {
        let steps = |lines: &[&str]| {
            let all = of(&format!("b0 = bytearray()\n{}\n", lines.join("\n"))).unwrap();
            all.moments.len()
        };
        assert_eq!(steps(&["T0: b0.append(1)", "T0: b0.append(2)", "T1: b0.append(3)"]), 9);
        let locked = ["T0: with m0: b0.append(1)", "T0: with m0: b0.append(2)", "T1: with m0: b0.append(3)"];
        assert_eq!(steps(&locked), 7);
        assert_eq!(steps(&["T0: b0.append(1)", "T0: barrier: b0.append(2)", "T1: b0.append(3)"]), 4);
        assert_eq!(steps(&["T0: b0.append(1)", "T1: barrier: b0.append(2)", "T0: b0.append(3)"]), 4);
    }

    #[test]
    fn whoever_may_see_bytes_that_are_written_is_told() {
        let lines = "b0 = bytearray(2)\nb1 = bytearray(2)\nv0 = memoryview(b0)\nT0: b0[0] = 1\nT1: v0.tolist()\nT1: len(b1)\n";
        assert_eq!(of(lines).unwrap().readers[3], [4]);
    }

    #[test]
    fn too_many_moments_are_not_told() {
        let line = |thread: usize, number: usize| format!("T{thread}: b0.append({number})\n");
        let lines: String = (0..24).map(|number| line(number % 4, number)).collect();
        assert_eq!(of(&format!("b0 = bytearray()\n{lines}")), None);
    }
}
