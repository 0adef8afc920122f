//! All orders of the steps that race, as far as the model tells them apart: what whoever has no model can hold threads
//! against.
//!
//! The same law as in [`race`], worked out beforehand: the moments between two steps are the places of a graph, and a
//! step of a thread leads from one to the next if it sees what the model says there. Orders after which nothing differs
//! meet again, so that there are far fewer moments than orders.

use std::collections::HashMap;

use super::race;
use crate::history::Outcome;
use crate::program::{Program, Slot, racing};
use crate::subject::{Model, Picture};

/// The most moments of a program. One that was shrunk has some dozens.
const MOST: usize = 2_000;

/// All orders of the steps of the threads of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// The first is when the threads start.
    pub moments: Vec<Moment>,
    /// For each step, by its place in the program, those that hold an object of it as long as they run: beside them it
    /// may be refused, and then has changed nothing.
    pub holders: Vec<Vec<usize>>,
    /// For each step whether it writes bytes in place: what runs beside it may see any.
    pub writers: Vec<bool>,
}

/// Between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The next step of each thread that has one left.
    pub ways: Vec<Way>,
    /// What slots hold when none has; before, nothing is said of that.
    pub left: Vec<(Slot, Picture)>,
}

/// A step that is next.
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

/// The moments that are known, and those of which the ways are.
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

/// The orders of the steps of a program that race from the state of `before` on, without those at the places `left_out`.
/// `None` if they lead through more moments than anybody wants to be told.
pub fn orders(before: &Model, program: &Program, left_out: &[usize]) -> Option<Orders> {
    let steps = &program.steps;
    let runs =
        |(place, thread): &(usize, u8)| steps[*place].thread == Some(*thread) && !left_out.contains(place);
    let lanes: Vec<Vec<usize>> = (0..program.threads())
        .map(|thread| {
            (0..steps.len()).map(|place| (place, thread)).filter(runs).map(|(place, _)| place).collect()
        })
        .collect();
    let holders = |of: usize| {
        let others = lanes.iter().filter(|lane| !lane.contains(&of)).flatten().copied();
        others.filter(|&other| race::may_hold(steps, &steps[other], &steps[of])).collect::<Vec<_>>()
    };
    let races = |place: usize| lanes.iter().any(|lane| lane.contains(&place));
    let holders: Vec<_> =
        (0..steps.len()).map(|place| if races(place) { holders(place) } else { Vec::new() }).collect();
    let mut graph = Graph { places: HashMap::new(), states: Vec::new() };
    graph.place((vec![0; lanes.len()], before.clone()));
    let mut moments = Vec::new();
    while let Some((front, model)) = graph.states.get(moments.len()).cloned() {
        let mut ways = Vec::new();
        for (thread, lane) in lanes.iter().enumerate() {
            let Some(&step) = lane.get(front[thread]) else { continue };
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
    let writers = steps.iter().map(|step| race::writes_in_place(step.op)).collect();
    Some(Orders { moments, holders, writers })
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
        orders(&before, &program, &[])
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
        let clear = &held.moments[0].ways[0];
        assert_ne!(clear.refused.expect("it may be refused"), clear.to);
        assert_eq!(held.moments[0].ways[1].refused, None);
    }

    #[test]
    fn too_many_moments_are_not_told() {
        let line = |thread: usize, number: usize| format!("T{thread}: b0.append({number})\n");
        let lines: String = (0..24).map(|number| line(number % 4, number)).collect();
        assert_eq!(of(&format!("b0 = bytearray()\n{lines}")), None);
    }
}
