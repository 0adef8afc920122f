//! The judge of concurrent histories, held against two others.

mod histories;

use buflock::history::Outcome;
use buflock::judge::linearize::{Linearization, Sequential, linearize};
use buflock::program::Step;
use buflock::program::generate::{self, Shape};
use buflock::subject::{Model, Version};
use histories::{History, history, operations};
use porcupine_rs::check_operations;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

/// More than a search of these histories takes.
const BUDGET: usize = 1_000_000;

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
        let history = history(index, generate::nth(11, index, shape).steps, index % 2 == 1);
        let ours = match linearize(Model::new(Version::NEWEST), &history, BUDGET) {
            Linearization::Explained(order) => {
                assert!(is_explanation(&history, &order), "history {index}: {order:?}");
                true
            }
            Linearization::Impossible { .. } => false,
            Linearization::OverBudget => panic!("history {index} is over the budget"),
        };
        assert_eq!(
            (check_operations(&operations(&history)), stateright_says(&history)),
            (ours, ours),
            "history {index}"
        );
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
