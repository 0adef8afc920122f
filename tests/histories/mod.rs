//! Histories of threads, of which it is known whether an order explains them.

use std::collections::BTreeMap;

use buflock::history::{Event, Outcome};
use buflock::judge::linearize::Sequential;
use buflock::program::Step;
use buflock::subject::{Model, Version};
use porcupine_rs::Operation;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What threads did, and what they saw of it.
pub type History = Vec<Event<Step, Outcome>>;

/// A history of threads that each run their own of these steps, which some order explains; unless `spoiled`, when two steps
/// have seen what the other one saw. What is random in it `index` determines.
pub fn history(index: u64, steps: Vec<Step>, spoiled: bool) -> History {
    let mut random = ChaCha8Rng::seed_from_u64(index);
    let mut model = Model::new(Version::NEWEST);
    // The place of a step in the list is when it takes effect. It is begun after the one before it of its thread has
    // ended, and ends before the next takes effect.
    const GRAIN: u64 = 1_000;
    let mut events = History::new();
    let mut last: BTreeMap<u8, usize> = BTreeMap::new();
    for (place, step) in steps.into_iter().enumerate() {
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

/// The model, as porcupine-rs asks it.
#[derive(Debug, Clone)]
pub struct Law;

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

/// A history as porcupine-rs takes it.
pub fn operations(history: &History) -> Vec<Operation<Law>> {
    let operation = |event: &Event<Step, Outcome>| Operation::<Law> {
        client_id: Some(event.thread.into()),
        call_time: event.begun as i64,
        return_time: event.ended as i64,
        op: (event.call.clone(), event.seen.clone()),
        metadata: None,
    };
    history.iter().map(operation).collect()
}
