//! `buflock run`: programs from a seed, on all workers, until time is up.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use buflock::program::generate::{self, Shape};
use buflock::report::json::{Python, Summary};
use buflock::report::{Death, Finding, Origin};

use super::args::{Format, Run};
use super::crew::Crew;
use super::error::{Ending, Failure};
use super::findings::{Findings, Wanted};
use super::live::{self, Live};
use super::pool::{self, Event, Job};
use super::probing::Facts;
use super::start::{self, Started};
use super::stop::Stop;
use super::summary;
use buflock::protocol::{Batch, Found, Hello};

/// How long the run is if nobody says.
const SECONDS: f64 = 60.0;

/// Runs, shrinks what is new, and reports.
pub fn run(args: &Run) -> Result<Ending, Failure> {
    let stop = Stop::listen()?;
    let findings = Findings::open(&args.findings)?;
    let cores = start::cores();
    let jobs = args.jobs.map_or(cores, usize::from);
    let core = |number: usize| (jobs <= cores).then_some(number);
    let started = start::start(&args.workers, core(0))?;
    let facts = started.facts();
    let begun = Instant::now();
    let seconds = Duration::from_secs_f64(args.seconds.unwrap_or(SECONDS));
    let job = Job {
        seed: args.seed.unwrap_or_else(any_seed),
        shape: Shape {
            steps: usize::from(args.steps),
            threads: args.threads,
            schedules: args.schedule.into(),
            ..Shape::default()
        },
        programs: args.programs,
        until: args.programs.is_none().then(|| begun + seconds),
        next: AtomicU64::new(0),
        version: facts.version,
    };
    let hello = started.worker.hello.clone();
    let mut count = Count::new(&job, &facts, &hello, findings, begun);
    let Started { recipe, worker, pages, .. } = started;
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        let mut first = Some(worker);
        for number in 0..jobs {
            let (job, sender, stop) = (&job, sender.clone(), &stop);
            let crew = Crew::new(&recipe, number, core(number), first.take());
            scope.spawn(move || pool::serve(job, crew, stop, &sender));
        }
        drop(sender);
        count.all(&receiver, &stop)
    })?;
    let ended = summary::report(&recipe, &facts, &mut count.findings, &stop, args.findings.as_path())?;
    drop(pages);
    summary::print(&count.summary, ended, args.format == Format::Json)?;
    Ok(match (count.summary.programs, count.summary.findings.new) {
        (0, _) => Ending::NothingRan,
        (_, 0) => Ending::Clean,
        _ => Ending::Findings,
    })
}

/// A seed that is short enough to type.
fn any_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() & 0xffff_ffff)
}

/// Counts what the workers tell, and saves what they find.
struct Count<'a> {
    job: &'a Job,
    facts: &'a Facts,
    begun: Instant,
    findings: Findings,
    summary: Summary,
}

impl<'a> Count<'a> {
    fn new(job: &'a Job, facts: &'a Facts, hello: &Hello, findings: Findings, begun: Instant) -> Count<'a> {
        let python =
            Python { version: hello.version.clone(), free_threaded: hello.free_threaded, debug: hello.debug };
        let summary = Summary { python, seed: job.seed, ..Summary::default() };
        Count { job, facts, begun, findings, summary }
    }

    /// Until the last worker is done.
    fn all(&mut self, events: &Receiver<Event>, stop: &Stop) -> Result<(), Failure> {
        let live = Live::new();
        let mut failed = None;
        loop {
            let told = match events.recv_timeout(Duration::from_millis(250)) {
                Ok(Event::Batch(batch)) => {
                    self.batch(batch);
                    Ok(())
                }
                Ok(Event::Found(found)) => self.found(found, &live),
                Ok(Event::Fault { death, index }) => self.fault(&death, index, &live),
                Ok(Event::Failed(failure)) => Err(failure),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(failure) = told {
                stop.now();
                failed.get_or_insert(failure);
            }
            live.show(live::progress(&self.summary, self.begun.elapsed().as_secs_f64()));
        }
        live.end();
        self.finish();
        failed.map_or(Ok(()), Err)
    }

    fn finish(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = |count: u64| (count as f64 / seconds.max(1e-9) * 10.0).round() / 10.0;
        self.summary.seconds = (seconds * 1000.0).round() / 1000.0;
        self.summary.programs_per_second = rate(self.summary.programs);
        self.summary.steps_per_second = rate(self.summary.steps);
    }

    fn batch(&mut self, batch: Batch) {
        self.summary.programs += batch.programs;
        self.summary.steps += batch.steps;
        self.summary.verdicts.add(batch.verdicts);
        for (label, count) in batch.outcomes {
            *self.summary.outcomes.entry(label).or_default() += count;
        }
        let peak = (batch.peak_rss_kb as f64 / 1024.0 * 10.0).round() / 10.0;
        self.summary.peak_rss_mb = self.summary.peak_rss_mb.max(peak);
    }

    fn found(&mut self, found: Found, live: &Live) -> Result<(), Failure> {
        if found.permitted {
            return Ok(());
        }
        if found.known.is_some() {
            self.summary.findings.known += 1;
            return Ok(());
        }
        let (index, facts) = (found.index, self.facts);
        let signature = found.told.signature.clone();
        self.keep(&signature, index, live, |program| {
            Finding::divergence(found.told, program, facts.version, &facts.python)
        })
    }

    fn fault(&mut self, death: &Death, index: u64, live: &Live) -> Result<(), Failure> {
        let program = generate::nth(self.job.seed, index, self.job.shape);
        let finding = self.facts.fault(death, &program);
        if finding.known.is_some() {
            self.summary.findings.known += 1;
            return Ok(());
        }
        let signature = finding.told.signature.clone();
        self.keep(&signature, index, live, |_| finding)
    }

    /// Counts a finding, and saves it if nobody has seen it.
    fn keep(
        &mut self,
        signature: &str,
        index: u64,
        live: &Live,
        make: impl FnOnce(&buflock::program::Program) -> Finding,
    ) -> Result<(), Failure> {
        let wanted = self.findings.wants(signature, index);
        match wanted {
            Wanted::New => self.summary.findings.new += 1,
            Wanted::Earlier | Wanted::No => self.summary.findings.known += 1,
        }
        if wanted == Wanted::No {
            return Ok(());
        }
        let program = generate::nth(self.job.seed, index, self.job.shape);
        self.findings.save(make(&program).from(Origin { seed: self.job.seed, index }))?;
        if wanted == Wanted::New {
            live.say(&format!("found {signature}: {}", shown(&self.findings.path(signature))));
        }
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
