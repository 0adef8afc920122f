//! Concurrent: each thread runs its own steps in order, and the threads race.
//!
//! What runs is up to the machine; what can be made sure of is that the threads do meet. They are woken before a
//! program begins, start together, and pause now and then for random moments, so that one program run many
//! times does not run in one way.
//!
//! Every thread has a hand of its own on the objects of the run ([`Subject::forks`]). Which names it may bind is a
//! matter of the program ([`racing`](crate::program::racing)), so that no two hands name different objects alike.

use std::hint::spin_loop;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::meeting::Meeting;
use super::{Host, Mailbox, Pace, run_own};
use crate::history::Raced;
use crate::program::generate::{Choices, choices};
use crate::program::{Op, Program, limits};
use crate::subject::Subject;
use crate::sync::wait_a_moment;

/// What a thread is given, and gives back.
struct Lane {
    thread: u8,
    hand: Box<dyn Subject>,
    program: Arc<Program>,
    meeting: Arc<Meeting>,
    /// Operations that are left out.
    known: Arc<[Op]>,
    clock: Instant,
    /// What the pauses are drawn from.
    seed: u64,
    seen: Vec<Raced>,
}

/// Threads that wait for programs.
pub struct Crew {
    host: Arc<dyn Host>,
    seats: Vec<Seat>,
}

struct Seat {
    there: Arc<Mailbox<Lane>>,
    back: Arc<Mailbox<Lane>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").field("threads", &self.seats.len()).finish_non_exhaustive()
    }
}

impl Crew {
    /// No threads yet; they start when they are first needed.
    pub fn new(host: Arc<dyn Host>) -> Crew {
        Crew { host, seats: Vec::new() }
    }

    /// Runs the steps of all threads of a program, each on its own hand, and gives what they saw, those of each thread
    /// in its order, and the hands: what a thread has bound is there until they go. The caller's thread is attached to
    /// the host. `known` are operations that are left out; `seed` names the pauses.
    pub fn run(
        &mut self,
        program: &Arc<Program>,
        hands: Vec<Box<dyn Subject>>,
        known: &Arc<[Op]>,
        seed: u64,
    ) -> (Vec<Raced>, Vec<Box<dyn Subject>>) {
        assert!(hands.len() <= usize::from(limits::THREADS));
        while self.seats.len() < hands.len() {
            let seat = Seat::new(Arc::clone(&self.host), self.seats.len());
            self.seats.push(seat);
        }
        let meeting = Arc::new(Meeting::new(program, hands.len()));
        let clock = Instant::now();
        let seats = &self.seats[..hands.len()];
        let lanes: Vec<_> = hands
            .into_iter()
            .zip(0..)
            .map(|(hand, thread)| Lane {
                thread,
                hand,
                program: Arc::clone(program),
                meeting: Arc::clone(&meeting),
                known: Arc::clone(known),
                clock,
                seed: seed ^ u64::from(thread) << 56,
                seen: Vec::new(),
            })
            .collect();
        let (mut lanes, mut back) = (Some(lanes), Vec::new());
        self.host.detached(&mut || {
            for (seat, lane) in seats.iter().zip(lanes.take().into_iter().flatten()) {
                seat.there.put(lane);
            }
            back = seats.iter().filter_map(|seat| seat.back.take()).collect();
        });
        let (seen, hands): (Vec<_>, Vec<_>) = back.into_iter().map(|lane| (lane.seen, lane.hand)).unzip();
        (seen.concat(), hands)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.seats.iter().for_each(|seat| seat.there.close());
        let mut threads = self.seats.iter_mut().filter_map(|seat| seat.thread.take());
        // They still have to attach to leave.
        self.host.detached(&mut || threads.by_ref().for_each(|thread| drop(thread.join())));
    }
}

impl Seat {
    fn new(host: Arc<dyn Host>, number: usize) -> Seat {
        let (there, back) = (Arc::new(Mailbox::<Lane>::new()), Arc::new(Mailbox::new()));
        let (inbox, outbox) = (Arc::clone(&there), Arc::clone(&back));
        let life = move || {
            host.attached(&mut || {
                loop {
                    let mut taken = None;
                    host.between(&mut || taken = inbox.take());
                    let Some(mut lane) = taken else { return };
                    // Whoever waits for the lane would wait for ever.
                    let ran = std::panic::AssertUnwindSafe(|| host.visited(&mut || lane.run(&*host)));
                    if std::panic::catch_unwind(ran).is_err() {
                        std::process::abort();
                    }
                    outbox.put(lane);
                }
            });
        };
        let name = format!("T{number}");
        let thread = thread::Builder::new().name(name).spawn(life).expect("failed to start a thread");
        Seat { there, back, thread: Some(thread) }
    }
}

impl Lane {
    /// The longest pause, in rounds of a loop that does nothing.
    const PAUSE: u32 = 400;

    fn run(&mut self, host: &dyn Host) {
        let mut random = choices(self.seed);
        // They leave together.
        host.detached(&mut || self.meeting.gather(0, &mut wait_a_moment));
        let mut pause = || {
            if random.chance(1, 2) {
                // Without it whoever holds the lock of an interpreter would run all its steps.
                host.detached(&mut || (0..random.below(Lane::PAUSE)).for_each(|_| spin_loop()));
            }
        };
        let now = || self.clock.elapsed().as_nanos() as u64;
        // Whoever is waited for may wait for the lock of the interpreter.
        let mut wait = |round| host.detached(&mut || wait_a_moment(round));
        let pace = Pace { now: &now, pause: &mut pause, wait: &mut wait };
        let meeting = (&*self.meeting, 1);
        self.seen = run_own(self.thread, &self.program, &mut *self.hand, &self.known, meeting, pace);
    }
}
