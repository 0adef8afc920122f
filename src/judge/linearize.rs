//! Linearizability: whether a history of racing steps has an order in which a sequential specification explains it.
//!
//! Every step has an interval, from before it was begun to after it ended. An order is legal if it keeps what is
//! certain about time, and if the specification, doing one step after the other in that order, sees what the threads
//! saw. The search is that of Wing and Gong (1993) with the memory of Lowe (2017): depth first over the steps that may
//! be next, each state of the search from which there is no way on remembered, so that it is entered once.
//!
//! # Intervals are closed
//! A step comes before another one for certain only if it ended at an *earlier* time than the other began. Clocks have
//! grains. Let one thread end a `release` and another begin a `resize` within the same grain: both read the same time.
//! Taken as open intervals, the two would be ordered, and if the resize in truth began first, was refused because of the
//! export and ended after the release, a correct history would be called a fault. Taken as closed, they overlap, and
//! both orders are tried. What that costs is a fault that shows only in two steps within a grain of time, and that one
//! shows again in runs where they lie further apart.
//!
//! # What it says
//! A budget bounds the search. Beyond it nothing is known, and [`Linearization::OverBudget`] is never a pass.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash};

use rustc_hash::FxHasher;

use super::compare;
use crate::history::{Event, Outcome};
use crate::program::Step;
use crate::subject::Model;

/// The sequential specification of what the threads share.
pub trait Sequential: Clone + Eq + Hash {
    /// What a thread does.
    type Call;
    /// What it saw of that.
    type Seen;

    /// Does it in this state, and says whether a thread may see this of it.
    fn admits(&mut self, call: &Self::Call, seen: &Self::Seen) -> bool;
}

impl Sequential for Model {
    type Call = Step;
    type Seen = Outcome;

    fn admits(&mut self, step: &Step, seen: &Outcome) -> bool {
        compare::same_outcome(&self.step(step), seen, |_| None)
    }
}

/// How many threads a history may have.
pub const THREADS: usize = 8;

/// What came of a search for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Linearization {
    /// The events in this order, by their places in the history, explain it.
    Explained(Vec<usize>),
    /// No order does.
    Impossible {
        /// The longest order that explains as many events as it has.
        longest: Vec<usize>,
        /// The events that might have been next, none of which the specification admits there.
        stuck: Vec<usize>,
    },
    /// The search was given up.
    OverBudget,
}

/// Looks for an order of the events of a history that begins in `state`; `budget` is how many times the specification
/// may be asked. The events of each thread are given in its own order.
///
/// # Panics
/// If an event names a thread that there cannot be.
pub fn linearize<S: Sequential>(
    state: S,
    events: &[Event<S::Call, S::Seen>],
    budget: usize,
) -> Linearization {
    let (order, way) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len() + 1));
    Search { events, lanes: Lanes::of(events), order, way, dead: HashSet::default() }.run(state, budget)
}

/// The events of each thread, in its order.
struct Lanes {
    /// Those of one thread after those of the one before it.
    places: Vec<usize>,
    /// Where those of each thread begin and where they end.
    bounds: [(usize, usize); THREADS],
    /// The threads from here on have none.
    used: usize,
}

impl Lanes {
    fn of<C, S>(events: &[Event<C, S>]) -> Lanes {
        let mut lanes = Lanes { places: vec![0; events.len()], bounds: Default::default(), used: 0 };
        for event in events {
            lanes.bounds[usize::from(event.thread)].1 += 1;
            lanes.used = lanes.used.max(usize::from(event.thread) + 1);
        }
        let mut begin = 0;
        for (start, end) in &mut lanes.bounds[..lanes.used] {
            (*start, *end, begin) = (begin, begin, begin + *end);
        }
        for (place, event) in events.iter().enumerate() {
            let end = &mut lanes.bounds[usize::from(event.thread)].1;
            lanes.places[*end] = place;
            *end += 1;
        }
        lanes
    }

    /// The next event of a thread.
    #[inline]
    fn next(&self, front: &Front, thread: usize) -> Option<usize> {
        let (start, end) = self.bounds[thread];
        let at = start + usize::from(front[thread]);
        (at < end).then(|| self.places[at])
    }
}

/// How many steps of each thread are behind.
type Front = [u16; THREADS];

struct Search<'a, S: Sequential> {
    events: &'a [Event<S::Call, S::Seen>],
    lanes: Lanes,
    /// What has been explained so far.
    order: Vec<usize>,
    /// A place for each of these and one for what comes next.
    way: Vec<Fork<S>>,
    /// From where there is no way on.
    dead: HashSet<(Front, S), BuildHasherDefault<FxHasher>>,
}

/// A place on the way of the search.
struct Fork<S> {
    /// How it is there, as soon as there was a reason to come back. A copy of a state costs more than some steps do, and
    /// most histories are explained by the first order that is tried.
    state: Option<S>,
    front: Front,
    /// What is still to be tried there.
    untried: Candidates,
    /// Whether there never was more than one thing to try. What comes of that is remembered where there is a choice again.
    is_forced: bool,
}

/// Threads whose next step may be the next of all, those first that end first.
#[derive(Debug, Clone, Copy)]
struct Candidates {
    threads: [u8; THREADS],
    count: u8,
}

impl Candidates {
    fn take(&mut self) -> Option<u8> {
        self.count = self.count.checked_sub(1)?;
        Some(self.threads[usize::from(self.count)])
    }
}

impl<S: Sequential> Search<'_, S> {
    fn run(mut self, start: S, mut budget: usize) -> Linearization {
        let mut longest = (Vec::new(), Front::default());
        self.enter(Front::default());
        self.way[0].state = Some(start);
        // That of the last place on the way, if nothing was tried there that failed.
        let mut tip = None;
        while let Some(fork) = self.way.last_mut() {
            if self.order.len() == self.events.len() {
                return Linearization::Explained(self.order);
            }
            let Some(thread) = fork.untried.take() else {
                if self.order.len() >= longest.0.len() {
                    longest = (self.order.clone(), fork.front);
                }
                let (front, is_forced) = (fork.front, fork.is_forced);
                if !is_forced {
                    let state = self.here(false);
                    self.dead.insert((front, state));
                }
                self.way.pop();
                self.order.pop();
                tip = None;
                continue;
            };
            budget = match budget.checked_sub(1) {
                Some(left) => left,
                None => return Linearization::OverBudget,
            };
            let (mut front, again) = (fork.front, fork.untried.count > 0 || !fork.is_forced);
            let mut state = tip.take().unwrap_or_else(|| self.here(again));
            let place = self.lanes.next(&front, thread.into()).expect("it is next");
            let event = &self.events[place];
            if !state.admits(&event.call, &event.seen) {
                continue;
            }
            front[usize::from(thread)] += 1;
            if !self.dead.is_empty() {
                let entry = (front, state);
                if self.dead.contains(&entry) {
                    continue;
                }
                state = entry.1;
            }
            self.order.push(place);
            self.enter(front);
            tip = Some(state);
        }
        let (order, front) = longest;
        let stuck = self.candidates(&front);
        let stuck = stuck.threads[..usize::from(stuck.count)].iter().rev();
        let stuck = stuck.filter_map(|&thread| self.lanes.next(&front, thread.into()));
        Linearization::Impossible { longest: order, stuck: stuck.collect() }
    }

    fn enter(&mut self, front: Front) {
        let untried = self.candidates(&front);
        self.way.push(Fork { state: None, front, untried, is_forced: untried.count < 2 });
    }

    /// The state at the last place on the way: from the last one that was kept on, all is done again. If it is to be asked
    /// for once more it is kept there.
    fn here(&mut self, again: bool) -> S {
        let last = self.way.len() - 1;
        let kept = self.way.iter().rposition(|fork| fork.state.is_some()).expect("that of the start is kept");
        if kept == last && last > 0 && !again {
            return self.way[last].state.take().expect("it is kept");
        }
        let mut state = self.way[kept].state.clone().expect("it is kept");
        for place in &self.order[kept..] {
            let event = &self.events[*place];
            state.admits(&event.call, &event.seen);
        }
        if kept < last && again {
            self.way[last].state = Some(state.clone());
        }
        state
    }

    /// The threads whose next step began before any other thread's next step had ended for certain.
    fn candidates(&self, front: &Front) -> Candidates {
        let next = |thread: usize| Some(&self.events[self.lanes.next(front, thread)?]);
        let first_end = (0..self.lanes.used).filter_map(next).map(|event| event.ended).min();
        let mut found = Candidates { threads: [0; THREADS], count: 0 };
        let Some(first_end) = first_end else { return found };
        let mut ends = [0; THREADS];
        for thread in 0..self.lanes.used {
            let Some(event) = next(thread).filter(|event| event.begun <= first_end) else { continue };
            // They are taken from the end: those that end last come first.
            let mut place = usize::from(found.count);
            while place > 0 && ends[place - 1] < event.ended {
                (ends[place], found.threads[place]) = (ends[place - 1], found.threads[place - 1]);
                place -= 1;
            }
            (ends[place], found.threads[place]) = (event.ended, thread as u8);
            found.count += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that is added to, and seen.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
    struct Counter(i32);

    #[derive(Debug, Clone, Copy)]
    enum Act {
        Add(i32),
        Read,
    }

    impl Sequential for Counter {
        type Call = Act;
        type Seen = i32;

        fn admits(&mut self, act: &Act, seen: &i32) -> bool {
            if let Act::Add(number) = act {
                self.0 += number;
            }
            self.0 == *seen
        }
    }

    fn event(thread: u8, begun: u64, ended: u64, call: Act, seen: i32) -> Event<Act, i32> {
        Event { thread, begun, ended, call, seen }
    }

    #[test]
    fn steps_that_overlap_have_any_order() {
        let history = [event(0, 0, 10, Act::Add(1), 1), event(1, 2, 3, Act::Read, 0)];
        assert_eq!(linearize(Counter(0), &history, 100), Linearization::Explained(vec![1, 0]));
        let history = [event(0, 0, 10, Act::Add(1), 1), event(1, 2, 3, Act::Read, 1)];
        assert_eq!(linearize(Counter(0), &history, 100), Linearization::Explained(vec![0, 1]));
    }

    #[test]
    fn a_step_that_ended_before_another_began_comes_first() {
        let stale = [event(0, 0, 1, Act::Add(1), 1), event(1, 2, 3, Act::Read, 0)];
        assert_eq!(
            linearize(Counter(0), &stale, 100),
            Linearization::Impossible { longest: vec![0], stuck: vec![1] }
        );
    }

    #[test]
    fn steps_that_touch_in_time_overlap() {
        let touching = [event(0, 0, 2, Act::Add(1), 1), event(1, 2, 3, Act::Read, 0)];
        assert_eq!(linearize(Counter(0), &touching, 100), Linearization::Explained(vec![1, 0]));
    }

    #[test]
    fn a_lost_update_has_no_order() {
        let lost =
            [event(0, 0, 5, Act::Add(1), 1), event(1, 1, 6, Act::Add(1), 1), event(0, 7, 8, Act::Read, 1)];
        assert!(matches!(linearize(Counter(0), &lost, 100), Linearization::Impossible { .. }));
    }

    #[test]
    fn over_budget_is_no_answer() {
        let history = [event(0, 0, 10, Act::Add(1), 1), event(1, 2, 3, Act::Read, 0)];
        assert_eq!(linearize(Counter(0), &history, 1), Linearization::OverBudget);
    }

    #[test]
    fn a_state_without_a_way_on_is_entered_once() {
        // Sixteen steps of four threads that all commute, and one that nothing explains.
        let mut history: Vec<_> = (0..16).map(|step| event(step % 4, 0, 100, Act::Add(0), 0)).collect();
        history.push(event(4, 101, 102, Act::Read, 7));
        // Without the memory there are 16! / (4!)^4 ways, over sixty millions.
        assert!(matches!(linearize(Counter(0), &history, 3_000), Linearization::Impossible { .. }));
    }
}
