//! Lockstep: the steps in list order, each on its own real thread.
//!
//! The outcome is a function of the program, yet every step runs where it says: thread states,
//! thread-local caches and the hand-over of the GIL are those of a threaded program.
//!
//! There is one baton, the whole state of the run. Whoever holds it runs all consecutive steps of
//! its thread and passes it on, straight to the next thread. A receiver sleeps until then; it does
//! not spin, which on few cores would take the time from whoever has the baton. Nothing is shared,
//! so nothing needs to be `unsafe`: the baton is moved.
//!
//! A step of a hook may be on another thread than the operation that waits for it. The baton stays
//! where it is then, and the other thread is sent an errand.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use super::{Host, Mailbox};
use crate::subject::errand::{Errand, Threads, serve};

/// The state of a run, as the threads pass it around.
pub trait Baton: Send + 'static {
    /// How many threads the steps name, the caller's included.
    fn lanes(&self) -> u8;
    /// The thread of the next step, or `None` at the end.
    fn lane(&self) -> Option<u8>;
    /// Runs the steps of that thread up to the first of another one.
    fn run_leg(&mut self);
}

/// What a thread is sent.
enum Post<B> {
    Baton(B),
    /// What a step on another thread waits for, and which thread that is.
    Errand(u8, Errand),
    /// The errand that the thread has sent is done.
    Done,
}

/// How a thread waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// In the middle of what it does on its host.
    Within,
    /// Between two visits of its host.
    Between,
}

/// Where the threads of a run are reached.
struct Ring<B> {
    host: Arc<dyn Host>,
    mailboxes: Box<[Mailbox<Post<B>>]>,
}

impl<B: Baton> Ring<B> {
    /// Sends something, if there is something to be sent, and waits; does errands until what comes is none. `None` is the end.
    ///
    /// A thread leaves its host before it sends: whoever is woken finds the interpreter free.
    fn exchange(&self, own: u8, wait: Wait, mut sent: Option<(u8, Post<B>)>) -> Option<Post<B>> {
        loop {
            let mut found = None;
            let mut exchange = || {
                if let Some((to, post)) = sent.take() {
                    self.mailboxes[usize::from(to)].put(post);
                }
                found = self.mailboxes[usize::from(own)].take();
            };
            match wait {
                Wait::Within => self.host.detached(&mut exchange),
                Wait::Between => self.host.between(&mut exchange),
            }
            let (from, errand) = match found? {
                Post::Errand(from, errand) => (from, errand),
                other => return Some(other),
            };
            let mut errand = Some(errand);
            let mut run = || errand.take().into_iter().for_each(finish);
            match wait {
                Wait::Within => run(),
                Wait::Between => self.host.visited(&mut run),
            }
            sent = Some((from, Post::Done));
        }
    }

    /// Passes the baton to a thread and waits until it comes back, or until the end.
    fn pass(&self, own: u8, wait: Wait, baton: Option<(u8, B)>) -> Option<B> {
        let sent = baton.map(|(to, baton)| (to, Post::Baton(baton)));
        match self.exchange(own, wait, sent)? {
            Post::Baton(baton) => Some(baton),
            Post::Errand(..) | Post::Done => unreachable!("T{own} waits for the baton"),
        }
    }
}

impl<B: Baton> Threads for Ring<B> {
    fn send(&self, own: u8, to: u8, errand: Errand) {
        let done = self.exchange(own, Wait::Within, Some((to, Post::Errand(own, errand))));
        assert!(matches!(done, Some(Post::Done)), "T{own} waits for T{to}");
    }
}

/// Does what another thread waits for, which would wait for ever if this ended by a panic.
fn finish(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        std::process::abort();
    }
}

/// Persistent threads that run one baton after another. The first thread is the caller's.
pub struct Lockstep<B: Baton> {
    ring: Arc<Ring<B>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<B: Baton> Lockstep<B> {
    /// No thread but the caller's yet; the others start when they are first needed.
    pub fn new(host: Arc<dyn Host>) -> Lockstep<B> {
        let mailboxes = (0..crate::program::limits::THREADS).map(|_| Mailbox::new()).collect();
        Lockstep { ring: Arc::new(Ring { host, mailboxes }), threads: Vec::new() }
    }

    /// Runs a baton to its end. The caller's thread is attached to the host.
    pub fn run(&mut self, mut baton: B) -> B {
        while self.threads.len() + 1 < usize::from(baton.lanes()) {
            let own = self.threads.len() as u8 + 1;
            self.threads.push(self.start(own));
        }
        let before = serve(Some((Arc::clone(&self.ring) as Arc<dyn Threads>, 0)));
        while let Some(lane) = baton.lane() {
            if lane == 0 {
                baton.run_leg();
                continue;
            }
            baton = self.ring.pass(0, Wait::Within, Some((lane, baton))).expect("the baton comes back");
        }
        serve(before);
        baton
    }

    fn start(&self, own: u8) -> thread::JoinHandle<()> {
        let ring = Arc::clone(&self.ring);
        let life = move || {
            serve(Some((Arc::clone(&ring) as Arc<dyn Threads>, own)));
            let host = Arc::clone(&ring.host);
            host.attached(&mut || {
                let mut taken = ring.pass(own, Wait::Between, None);
                while let Some(mut baton) = taken.take() {
                    while baton.lane() == Some(own) {
                        host.visited(&mut || finish(|| baton.run_leg()));
                    }
                    let next = baton.lane().unwrap_or(0);
                    taken = ring.pass(own, Wait::Between, Some((next, baton)));
                }
            });
        };
        thread::Builder::new().name(format!("T{own}")).spawn(life).expect("failed to start a thread")
    }
}

impl<B: Baton> Drop for Lockstep<B> {
    fn drop(&mut self) {
        for mailbox in &self.ring.mailboxes[1..=self.threads.len()] {
            mailbox.close();
        }
        let threads = std::mem::take(&mut self.threads);
        let mut threads = threads.into_iter();
        // They still have to attach to leave.
        self.ring.host.detached(&mut || threads.by_ref().for_each(|thread| drop(thread.join())));
    }
}

#[cfg(test)]
mod tests {
    use super::super::NoHost;
    use super::*;

    struct Log {
        lanes: Vec<u8>,
        seen: Vec<(u8, thread::ThreadId)>,
    }

    impl Baton for Log {
        fn lanes(&self) -> u8 {
            self.lanes.iter().max().map_or(1, |last| last + 1)
        }

        fn lane(&self) -> Option<u8> {
            self.lanes.get(self.seen.len()).copied()
        }

        fn run_leg(&mut self) {
            let lane = self.lane();
            while self.lane() == lane
                && let Some(lane) = lane
            {
                self.seen.push((lane, thread::current().id()));
            }
        }
    }

    #[test]
    fn steps_run_in_order_each_on_its_own_thread() {
        let mut lockstep = Lockstep::new(Arc::new(NoHost));
        let lanes = vec![0, 1, 1, 3, 0, 2, 1, 3];
        let log = lockstep.run(Log { lanes: lanes.clone(), seen: Vec::new() });
        assert_eq!(log.seen.iter().map(|seen| seen.0).collect::<Vec<_>>(), lanes);
        for (one, id) in &log.seen {
            for (other, other_id) in &log.seen {
                assert_eq!(one == other, id == other_id);
            }
        }
        assert_eq!(log.seen[0].1, thread::current().id());
    }

    /// One step on each of these threads, in which the next one begins and ends.
    struct Nested {
        lanes: Vec<u8>,
        seen: Arc<parking_lot::Mutex<Vec<thread::ThreadId>>>,
        done: bool,
    }

    fn nest(lanes: &[u8], seen: &Arc<parking_lot::Mutex<Vec<thread::ThreadId>>>) {
        let [own, rest @ ..] = lanes else { return };
        let (rest, within) = (rest.to_vec(), Arc::clone(seen));
        crate::subject::errand::on_thread(*own, move || {
            within.lock().push(thread::current().id());
            nest(&rest, &within);
        });
        seen.lock().push(thread::current().id());
    }

    impl Baton for Nested {
        fn lanes(&self) -> u8 {
            4
        }

        fn lane(&self) -> Option<u8> {
            (!self.done).then_some(self.lanes[0])
        }

        fn run_leg(&mut self) {
            nest(&self.lanes, &self.seen);
            self.done = true;
        }
    }

    #[test]
    fn a_step_waits_for_steps_on_other_threads_and_does_theirs_meanwhile() {
        for lanes in [vec![0, 1, 0, 2, 2, 1], vec![3, 0, 1, 3]] {
            let mut lockstep = Lockstep::new(Arc::new(NoHost));
            let nested = Nested { lanes: lanes.clone(), seen: Arc::default(), done: false };
            let seen = lockstep.run(nested).seen.lock().clone();
            let (begun, ended) = seen.split_at(lanes.len());
            // Which of them are the same.
            let same = |one: usize, other: usize| lanes[one] == lanes[other];
            for one in 0..lanes.len() {
                for other in 0..lanes.len() {
                    assert_eq!(begun[one] == begun[other], same(one, other), "{lanes:?}");
                }
            }
            // Each step goes on where it was when the one within has ended.
            let outer: Vec<_> = begun[..lanes.len() - 1].iter().rev().collect();
            assert!(ended.iter().take(outer.len()).eq(outer), "{lanes:?}");
        }
    }

    #[test]
    fn threads_serve_many_runs() {
        let mut lockstep = Lockstep::new(Arc::new(NoHost));
        for _ in 0..200 {
            let log = lockstep.run(Log { lanes: vec![1, 2, 3, 2, 1], seen: Vec::new() });
            assert_eq!(log.seen.len(), 5);
        }
    }
}
