//! Lockstep: the steps in list order, each on its own real thread.
//!
//! The outcome is a function of the program, yet every step runs where it says: thread states,
//! thread-local caches and the hand-over of the GIL are those of a threaded program.
//!
//! There is one baton, the whole state of the run. Whoever holds it runs all consecutive steps of
//! its thread and passes it on, straight to the next thread. A receiver sleeps until then; it does
//! not spin, which on few cores would take the time from whoever has the baton. Nothing is shared,
//! so nothing needs to be `unsafe`: the baton is moved.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use super::{Host, Mailbox};

/// The state of a run, as the threads pass it around.
pub trait Baton: Send + 'static {
    /// How many threads the steps name, the caller's included.
    fn lanes(&self) -> u8;
    /// The thread of the next step, or `None` at the end.
    fn lane(&self) -> Option<u8>;
    /// Runs the steps of that thread up to the first of another one.
    fn run_leg(&mut self);
}

/// Passes the baton to a thread and waits until it comes back, or until the end. The caller leaves
/// its host first: whoever gets the baton finds the interpreter free.
fn pass<B: Baton>(mailboxes: &[Mailbox<B>], host: &dyn Host, own: u8, to: u8, baton: B) -> Option<B> {
    let (mut baton, mut returned) = (Some(baton), None);
    let mut wait = || {
        if let Some(baton) = baton.take() {
            mailboxes[usize::from(to)].put(baton);
        }
        returned = mailboxes[usize::from(own)].take();
    };
    // The first thread is not one of the host's own.
    if own == 0 {
        host.detached(&mut wait)
    } else {
        host.between(&mut wait)
    }
    returned
}

/// Persistent threads that run one baton after another. The first thread is the caller's.
pub struct Lockstep<B: Baton> {
    host: Arc<dyn Host>,
    mailboxes: Arc<[Mailbox<B>]>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl<B: Baton> Lockstep<B> {
    /// No thread but the caller's yet; the others start when they are first needed.
    pub fn new(host: Arc<dyn Host>) -> Lockstep<B> {
        let mailboxes = (0..crate::program::limits::THREADS).map(|_| Mailbox::new()).collect();
        Lockstep { host, mailboxes, threads: Vec::new() }
    }

    /// Runs a baton to its end. The caller's thread is attached to the host.
    pub fn run(&mut self, mut baton: B) -> B {
        while self.threads.len() + 1 < usize::from(baton.lanes()) {
            let own = self.threads.len() as u8 + 1;
            self.threads.push(self.start(own));
        }
        while let Some(lane) = baton.lane() {
            if lane == 0 {
                baton.run_leg();
                continue;
            }
            baton = pass(&self.mailboxes, &*self.host, 0, lane, baton).expect("the baton comes back");
        }
        baton
    }

    fn start(&self, own: u8) -> thread::JoinHandle<()> {
        let (host, mailboxes) = (Arc::clone(&self.host), Arc::clone(&self.mailboxes));
        let life = move || {
            host.attached(&mut || {
                let mut taken = None;
                host.between(&mut || taken = mailboxes[usize::from(own)].take());
                while let Some(mut baton) = taken.take() {
                    while baton.lane() == Some(own) {
                        // Whoever waits for the baton would wait for ever.
                        let leg = AssertUnwindSafe(|| host.visited(&mut || baton.run_leg()));
                        if catch_unwind(leg).is_err() {
                            std::process::abort();
                        }
                    }
                    let next = baton.lane().unwrap_or(0);
                    taken = pass(&mailboxes, &*host, own, next, baton);
                }
            });
        };
        thread::Builder::new().name(format!("T{own}")).spawn(life).expect("failed to start a thread")
    }
}

impl<B: Baton> Drop for Lockstep<B> {
    fn drop(&mut self) {
        for mailbox in &self.mailboxes[1..=self.threads.len()] {
            mailbox.close();
        }
        let threads = std::mem::take(&mut self.threads);
        let mut threads = threads.into_iter();
        // They still have to attach to leave.
        self.host.detached(&mut || threads.by_ref().for_each(|thread| drop(thread.join())));
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

    #[test]
    fn threads_serve_many_runs() {
        let mut lockstep = Lockstep::new(Arc::new(NoHost));
        for _ in 0..200 {
            let log = lockstep.run(Log { lanes: vec![1, 2, 3, 2, 1], seen: Vec::new() });
            assert_eq!(log.seen.len(), 5);
        }
    }
}
