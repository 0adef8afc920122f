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

struct Count {
    meter: Meter,
    inputs: u64,
    /// What the last input has covered, and what any has.
    counters: Vec<u8>,
    covered: Vec<u8>,
    told: Instant,
}

impl Count {
    fn new(session: &Session) -> Count {
        // One whose command was killed would fuzz for nobody.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
        session.list_edges(&tables::edges()).expect("failed to say what there is to be covered");
        let meter = session.meter().expect("failed to make a file of what is covered");
        let none = vec![0; tables::count()];
        Count { meter, inputs: 0, counters: none.clone(), covered: none, told: Instant::now() }
    }

    fn add(&mut self) {
        self.inputs += 1;
        tables::read_counters(&mut self.counters);
        let is_new = cover(&mut self.covered, &self.counters);
        if is_new {
            self.meter.edges(&self.covered).expect("failed to say what is covered");
        }
        if is_new || self.told.elapsed() >= ROUND {
            self.meter.inputs(self.inputs).expect("failed to say how many inputs were run");
            self.told = Instant::now();
        }
    }
}

/// Marks what was counted; whether something of it was not before.
fn cover(covered: &mut [u8], counters: &[u8]) -> bool {
    let mut is_new = 0;
    for (covered, counter) in covered.iter_mut().zip(counters) {
        let counted = u8::from(*counter != 0);
        is_new |= counted & !*covered;
        *covered |= counted;
    }
    is_new != 0
}

/// What the compilers, that of C included, leave in an executable for whoever looks at its coverage.
mod tables {
    use buflock::fuzz::session::Edge;

    // The linker names where a section begins and ends, and where the executable does. A module that counts its coverage
    // has variables of these names; another of the same name would take their place, and nobody would count anything.
    std::arch::global_asm!(
        ".pushsection .data.rel.ro.buflock_tables, \"aw\"",
        ".p2align 3",
        "buflock_tables:",
        ".8byte __start___sancov_cntrs, __stop___sancov_cntrs",
        ".8byte __start___sancov_pcs, __stop___sancov_pcs",
        ".8byte __executable_start",
        ".popsection",
    );

    #[repr(C)]
    struct Tables {
        counters: [*const u8; 2],
        edges: [*const [usize; 2]; 2],
        executable: *const u8,
    }

    unsafe extern "C" {
        static buflock_tables: Tables;
    }

    fn tables() -> &'static Tables {
        // SAFETY: the assembler lays it out so, five words of which the linker fills in each, and nobody changes it.
        unsafe { &buflock_tables }
    }

    /// How many edges there are.
    pub fn count() -> usize {
        let [start, stop] = tables().counters;
        stop.addr() - start.addr()
    }

    /// How often each edge was passed since the fuzzer looked last, modulo 256.
    pub fn read_counters(into: &mut [u8]) {
        assert_eq!(into.len(), count());
        let [start, _] = tables().counters;
        // SAFETY: the section is one piece of memory of this executable, of that length, and nothing of it is lent. Threads
        // that a program has left behind may pass edges meanwhile: a byte is then what it was before or after.
        unsafe { start.copy_to_nonoverlapping(into.as_mut_ptr(), into.len()) }
    }

    /// Where each edge is.
    pub fn edges() -> Vec<Edge> {
        let Tables { edges: [start, stop], executable, .. } = tables();
        let length = (stop.addr() - start.addr()) / size_of::<[usize; 2]>();
        // SAFETY: the section has two words for each edge, its address and its flags, which nobody changes.
        let all = unsafe { std::slice::from_raw_parts(*start, length) };
        let edge = |[address, flags]: &[usize; 2]| Edge {
            address: (address - executable.addr()) as u64,
            is_entry: flags & 1 == 1,
        };
        all.iter().map(edge).collect()
    }
}
