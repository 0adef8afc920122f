//! What every target that runs programs does under `buflock fuzz`: it counts the inputs that it runs, and what they cover.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use buflock::fuzz::session::{Meter, Session};

/// Runs an input.
pub fn counted(data: &[u8], run: impl FnOnce(&[u8])) {
    thread_local! {
        static COUNT: RefCell<Option<Count>> = RefCell::new(Session::of_this_process().map(Count::new));
    }
    // A session is there before anything is run.
    COUNT.with(|_| ());
    run(data);
    COUNT.with_borrow_mut(|count| count.iter_mut().for_each(Count::add));
}

/// How often it is told how many inputs were run. What they have covered is told at once.
const ROUND: Duration = Duration::from_millis(250);

/// To look at all edges takes as long as to run a short program. So of the inputs after so many, only one in so many is
/// looked at: what covers something new is kept, and others are made of it.
const ALL: u64 = 1 << 16;
const SELDOM: u64 = 16;

struct Count {
    meter: Meter,
    inputs: u64,
    /// One byte for each edge.
    covered: Vec<u8>,
    told: Instant,
}

impl Count {
    fn new(session: &Session) -> Count {
        // One whose command was killed would fuzz for nobody.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        session.list_edges(&tables::edges()).expect("failed to say what there is to be covered");
        let meter = session.meter().expect("failed to make a file of what is covered");
        Count { meter, inputs: 0, covered: vec![0; tables::count()], told: Instant::now() }
    }

    fn add(&mut self) {
        self.inputs += 1;
        let looks = self.inputs <= ALL || self.inputs.is_multiple_of(SELDOM);
        let is_new = looks && tables::cover(&mut self.covered);
        if is_new {
            self.meter.edges(&self.covered).expect("failed to say what is covered");
        }
        if is_new || self.told.elapsed() >= ROUND {
            self.meter.inputs(self.inputs).expect("failed to say how many inputs were run");
            self.told = Instant::now();
        }
    }
}

/// What the compilers, that of C included, leave in an executable for whoever looks at its coverage.
mod tables {
    use std::ffi::c_int;

    use buflock::fuzz::session::Edge;

    // In `edges.c`.
    unsafe extern "C" {
        safe fn buflock_edges() -> usize;
        fn buflock_edge(place: usize, is_entry: &mut c_int) -> u64;
        fn buflock_cover(covered: *mut u8) -> c_int;
    }

    /// How many edges there are.
    pub fn count() -> usize {
        buflock_edges()
    }

    /// Marks the edges that were passed since the fuzzer looked last; whether one of them was not marked.
    pub fn cover(covered: &mut [u8]) -> bool {
        assert_eq!(covered.len(), count());
        // SAFETY: there is a byte for each edge.
        unsafe { buflock_cover(covered.as_mut_ptr()) != 0 }
    }

    /// Where each edge is.
    pub fn edges() -> Vec<Edge> {
        let edge = |place| {
            let mut is_entry = 0;
            // SAFETY: there are so many, and more.
            let address = unsafe { buflock_edge(place, &mut is_entry) };
            Edge { address, is_entry: is_entry != 0 }
        };
        (0..count()).map(edge).collect()
    }
}
