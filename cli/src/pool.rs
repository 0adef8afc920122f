//! Workers at work: each thread of this process serves one, and replaces it when it dies.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use buflock::history::Outcome;
use buflock::program::Allocator;
use buflock::program::allocator::SPAN;
use buflock::program::generate::{self, Shape};
use buflock::subject::{Model, Version};

use super::crew::Crew;
use super::error::Failure;
use super::stop::Stop;
use super::worker::{End, Worker};
use buflock::protocol::{Batch, Found, Reply, Request};
use buflock::report::Death;

/// What is to be run, and how far it is.
#[derive(Debug)]
pub struct Job {
    /// What names the sequence.
    pub seed: u64,
    /// What kind of programs.
    pub shape: Shape,
    /// The end of the sequence, if it is not time that ends it.
    pub programs: Option<u64>,
    /// When to end.
    pub until: Option<Instant>,
    /// The first program that nobody runs yet.
    pub next: AtomicU64,
    /// The version that the model follows.
    pub version: Version,
}

/// What a thread tells the one that counts.
#[derive(Debug)]
pub enum Event {
    /// Programs were run.
    Batch(Batch),
    /// A program diverged.
    Found(Found),
    /// A worker died, at this program and step.
    Fault {
        /// How, and at which step.
        death: Death,
        /// Which program.
        index: u64,
    },
    /// The run cannot go on.
    Failed(Failure),
}

/// What a part of the run should take, so that its end is near when time is up.
const PART: Duration = Duration::from_millis(100);
/// Programs of the first part, and the most of any.
const SIZES: (u64, u64) = (64, 8192);

/// Serves one worker until all is run or the user wants the end.
pub fn serve(job: &Job, crew: Crew<'_>, stop: &Stop, to: &Sender<Event>) {
    let mut part = Part { job, crew, stop, to };
    let mut size = SIZES.0;
    loop {
        let over = job.until.is_some_and(|until| Instant::now() >= until);
        if stop.wanted() || over {
            return;
        }
        let first = job.next.fetch_add(size, Ordering::Relaxed);
        let end = job.programs.map_or(first.saturating_add(size), |end| end.min(first.saturating_add(size)));
        if first >= end {
            return;
        }
        let begun = Instant::now();
        if let Err(failure) = part.run(first, end) {
            let _ = to.send(Event::Failed(failure));
            stop.now();
            return;
        }
        let spent = begun.elapsed().as_secs_f64().max(1e-6);
        let fitting = (size as f64 * PART.as_secs_f64() / spent) as u64;
        size = fitting.clamp(size / 2, size * 2).clamp(1, SIZES.1);
    }
}

struct Part<'a> {
    job: &'a Job,
    crew: Crew<'a>,
    stop: &'a Stop,
    to: &'a Sender<Event>,
}

impl Part<'_> {
    /// Runs the programs from `first` up to `end`, whatever becomes of the workers.
    fn run(&mut self, first: u64, end: u64) -> Result<(), Failure> {
        let spans = (first / SPAN..end.div_ceil(SPAN)).rev();
        let mut left: Vec<_> = spans.map(|span| first.max(span * SPAN)..end.min((span + 1) * SPAN)).collect();
        while let Some(part) = left.pop().filter(|_| !self.stop.wanted()) {
            if part.is_empty() {
                continue;
            }
            let worker = self.crew.take(Allocator::of(part.start))?;
            let Err((how, judged, found)) = self.ask(worker, &part) else { continue };
            match how {
                End::Stopped => self.tell(Event::Batch(self.recount(part.start..judged, None, &found))),
                End::Broken(why) => {
                    return Err(Failure::environment(why, "cargo build --release --workspace --bins"));
                }
                End::Fault { what, index, step, said } => {
                    let death = Death { what, said, step };
                    // A death before the first program of this part is reported as of that program.
                    let judged = judged.min(part.end - 1);
                    let index = index.clamp(judged, part.end - 1);
                    self.tell(Event::Batch(self.recount(part.start..judged, Some((index, step)), &found)));
                    self.tell(Event::Fault { death, index });
                    // Those that it was in the midst of, and those that it had not begun.
                    left.extend([index + 1..part.end, judged..index]);
                }
            }
        }
        Ok(())
    }

    /// Asks a worker to run the programs. If it cannot end, how it did not, the first program without a verdict, and
    /// what it found before.
    fn ask(&mut self, mut worker: Worker, part: &Range<u64>) -> Result<(), (End, u64, Vec<Found>)> {
        let Shape { steps, threads, schedules, .. } = self.job.shape;
        let (seed, first, count) = (self.job.seed, part.start, part.end - part.start);
        let request = Request::Run { seed, first, count, steps, threads, schedules };
        let mut seen = Vec::new();
        let to = self.to;
        let asked = worker.ask(&request, self.stop, |reply| match reply {
            Reply::Found(found) => {
                seen.push(found.clone());
                let _ = to.send(Event::Found(found));
                false
            }
            Reply::Done(batch) => {
                let _ = to.send(Event::Batch(batch));
                true
            }
            _ => false,
        });
        match asked {
            Ok(()) => {
                self.crew.give_back(worker);
                Ok(())
            }
            Err(how) => Err((how, worker.judged().clamp(part.start, part.end), seen)),
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.to.send(event);
    }

    /// What a worker that died would have counted: the outcomes are the model's, which runs here too.
    fn recount(&self, whole: Range<u64>, dead: Option<(u64, usize)>, found: &[Found]) -> Batch {
        let mut batch = Batch::default();
        let mut model = Model::new(self.job.version);
        let found: HashMap<u64, &Found> = found.iter().map(|found| (found.index, found)).collect();
        for index in whole.chain(dead.map(|(index, _)| index)) {
            let program = generate::nth(self.job.seed, index, self.job.shape);
            let died = dead.filter(|(at, _)| *at == index).map(|(_, step)| step);
            let differs = found.get(&index);
            let last = died.or_else(|| differs.and_then(|found| found.told.step));
            let count = last.map_or(program.steps.len(), |last| (last + 1).min(program.steps.len()));
            model.clear();
            for step in &program.steps[..count] {
                let outcome: Outcome = model.step(step);
                *batch.outcomes.entry(outcome.label().to_owned()).or_default() += 1;
            }
            batch.programs += 1;
            batch.steps += count as u64;
            match differs {
                _ if died.is_some() => batch.verdicts.diverge += 1,
                None => batch.verdicts.agree += 1,
                Some(found) if found.permitted => batch.verdicts.permitted += 1,
                Some(_) => batch.verdicts.diverge += 1,
            }
        }
        batch
    }
}
