//! CPython, and the exporters as Python classes, do what the model says, step by step, but for what the catalogue knows.

use std::sync::Arc;

use buflock::judge::Verdict;
use buflock::program::generate::{self, Shape};
use buflock_oracle::{SUBJECTS, attached, check, interpreter};

#[test]
fn every_subject_does_what_the_model_says() {
    let interpreter = interpreter::start().unwrap();
    attached(|| {
        let mut check = check(&interpreter, &SUBJECTS.map(str::to_owned)).unwrap();
        for index in 0..20_000 {
            let program = Arc::new(generate::nth(1, index, Shape::default()));
            if let Verdict::Diverge(divergence) = check.run(&program) {
                assert!(
                    check.knows(&divergence),
                    "program {index}: {} at step {:?}: {}\n{program}",
                    divergence.signature,
                    divergence.step,
                    divergence.difference
                );
            }
        }
        assert_eq!(check.take_tally().programs, 20_000);
    });
}
