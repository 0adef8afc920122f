//! The judge of concurrent histories, held against two others.

use std::collections::BTreeMap;

use buflock::history::{Event, Outcome};
use buflock::judge::linearize::{Linearization, Sequential, linearize};
use buflock::program::Step;
use buflock::program::generate::{self, Shape};
use buflock::subject::{Model, Version};
use porcupine_rs::Operation;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

type History = Vec<Event<Step, Outcome>>;

/// More than a search of these histories takes.
const BUDGET: usize = 1_000_000;

/// A history of threads that each run their steps of a generated program, which some order explains; unless `spoiled`,
/// when two steps have seen what the other one saw.
fn history(index: u64, shape: Shape, spoiled: bool) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(index);
    let program = generate::nth(11, index, shape);
    let mut model = Model::new(Version::NEWEST);
    // The place of a step in the list is when it takes effect. It is begun after the one before it of its thread has
    // ended, and ends before the next takes effect.
    const GRAIN: u64 = 1_000;
    let mut events = History::new();
    let mut last: BTreeMap<u8, usize> = BTreeMap::new();
    for (place, step) in program.steps.into_iter().enumerate() {
        let effect = (place as u64 + 1) * GRAIN;
        let seen = model.step(&step);
        let (thread, mut begun) = (step.lane(), 0);
        if let Some(before) = last.insert(thread, place) {
            let before: &mut Event<_, _> = &mut events[before];
            before.ended = within(&mut random, before.ended, effect);
            begun = before.ended + 1;
        }
        let begun = within(&mut random, begun, effect);
        events.push(Event { thread, begun, ended: effect, call: step, seen });
    }
    let end = (events.len() as u64 + 1) * GRAIN;
    for place in last.into_values() {
        events[place].ended = within(&mut random, events[place].ended, end);
    }
    if spoiled && events.len() > 1 {
        let (one, other) = (random.random_range(0..events.len()), random.random_range(0..events.len()));
        let seen = events[one].seen.clone();
        events[one].seen = std::mem::replace(&mut events[other].seen, seen);
    }
    events
}

/// A time of no other step, near enough to `from` that not all steps overlap.
fn within(random: &mut impl Rng, from: u64, to: u64) -> u64 {
    let to = to.min(from + 4_000);
    random.random_range(from..=from.max(to - 1))
}

#[derive(Debug, Clone)]
struct Law;

impl porcupine_rs::Model for Law {
    type State = Model;
    type Op = (Step, Outcome);
    type Metadata = ();

    fn init() -> Model {
        Model::new(Version::NEWEST)
    }

    fn step(state: &Model, (step, seen): &(Step, Outcome)) -> (bool, Model) {
        let mut state = state.clone();
        (state.admits(step, seen), state)
    }
}

fn porcupine_says(history: &History) -> bool {
    let operation = |event: &Event<Step, Outcome>| Operation::<Law> {
        client_id: Some(event.thread.into()),
        call_time: event.begun as i64,
        return_time: event.ended as i64,
        op: (event.call.clone(), event.seen.clone()),
        metadata: None,
    };
    porcupine_rs::check_operations(&history.iter().map(operation).collect::<Vec<_>>())
}

#[derive(Debug, Clone)]
struct Reference(Model);

impl SequentialSpec for Reference {
    type Op = Step;
    type Ret = Outcome;

    fn invoke(&mut self, step: &Step) -> Outcome {
        self.0.step(step)
    }
}

fn stateright_says(history: &History) -> bool {
    let mut tester = LinearizabilityTester::new(Reference(Model::new(Version::NEWEST)));
    let mut times: Vec<_> =
        history.iter().flat_map(|event| [(event.begun, false, event), (event.ended, true, event)]).collect();
    times.sort_by_key(|(time, ends, _)| (*time, *ends));
    for (_, ends, event) in times {
        let told = if ends {
            tester.on_return(event.thread, event.seen.clone())
        } else {
            tester.on_invoke(event.thread, event.call.clone())
        };
        told.expect("each thread does one thing after the other");
    }
    tester.is_consistent()
}

#[test]
fn three_judges_agree() {
    let (mut explained, mut impossible) = (0, 0);
    for index in 0..10_000 {
        let shape = Shape { steps: 12, ..Shape::default() };
        let history = history(index, shape, index % 2 == 1);
        let ours = match linearize(Model::new(Version::NEWEST), &history, BUDGET) {
            Linearization::Explained(order) => {
                assert!(is_explanation(&history, &order), "history {index}: {order:?}");
                true
            }
            Linearization::Impossible { .. } => false,
            Linearization::OverBudget => panic!("history {index} is over the budget"),
        };
        assert_eq!((porcupine_says(&history), stateright_says(&history)), (ours, ours), "history {index}");
        *if ours { &mut explained } else { &mut impossible } += 1;
    }
    // Neither answer is rare.
    assert!(explained >= 5_000 && impossible >= 1_500, "{explained} and {impossible}");
}

/// Whether each event comes once, none before one that had ended before it began, and the model admits all.
fn is_explanation(history: &History, order: &[usize]) -> bool {
    let mut places = order.to_vec();
    places.sort_unstable();
    let late =
        |at: usize| order[at + 1..].iter().any(|later| history[*later].ended < history[order[at]].begun);
    let mut model = Model::new(Version::NEWEST);
    places.into_iter().eq(0..history.len())
        && !(0..order.len()).any(late)
        && order.iter().all(|place| model.admits(&history[*place].call, &history[*place].seen))
}
