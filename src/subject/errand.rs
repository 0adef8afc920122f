//! Steps of hooks on other threads: an operation that is under way on one thread waits for a step of another.
//!
//! Whoever has the threads of a program says, on each of them, by [`serve`] that it takes errands; without threads, an
//! errand is done where it is sent from.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;

/// Something to be done on another thread.
pub type Errand = Box<dyn FnOnce() + Send>;

/// The threads of a program, all of which wait, but for the one that sends.
pub trait Threads: Send + Sync {
    /// Has an errand done on thread `to`, and returns when it is. Thread `own`, which sends it, does meanwhile what others
    /// send to it.
    fn send(&self, own: u8, to: u8, errand: Errand);
}

thread_local! {
    /// The threads of the program that runs, and which of them this is.
    static THREADS: RefCell<Option<(Arc<dyn Threads>, u8)>> = const { RefCell::new(None) };
}

/// Says of this thread which one it is of these threads, or that it is none. Gives what was said before.
pub fn serve(as_one: Option<(Arc<dyn Threads>, u8)>) -> Option<(Arc<dyn Threads>, u8)> {
    THREADS.replace(as_one)
}

/// Runs `work` on a thread of the program, and waits for it.
pub fn on_thread<R: Send + 'static>(thread: u8, work: impl FnOnce() -> R + Send + 'static) -> R {
    let threads = THREADS.with_borrow(Clone::clone);
    let Some((threads, own)) = threads.filter(|(_, own)| *own != thread) else { return work() };
    let result = Arc::new(Mutex::new(None));
    let put = Arc::clone(&result);
    threads.send(
        own,
        thread,
        Box::new(move || {
            let done = work();
            *put.lock() = Some(done);
        }),
    );
    let done = result.lock().take();
    done.expect("an errand has been done when its sender goes on")
}
