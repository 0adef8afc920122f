use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::exporter::export::{load_bytes, store_bytes};
use crate::sync::Arc;

const ROUNDS: usize = if cfg!(miri) { 20 } else { 2_000 };

/// Bytes that count how often they were freed.
struct Probe {
    bytes: Vec<u8>,
    freed: Arc<AtomicUsize>,
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.freed.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: as for the vector.
unsafe impl Block for Probe {
    const NAME: &'static str = "probe";
    const ALONE: bool = true;

    fn base(&mut self) -> NonNull<u8> {
        self.bytes.base()
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn readonly(&self) -> bool {
        false
    }

    fn unit(&self) -> usize {
        1
    }

    fn replacement(&self, bytes: Vec<u8>) -> Self {
        Self { bytes, freed: Arc::clone(&self.freed) }
    }
}

fn probe() -> (Storage<Probe>, impl Fn() -> usize) {
    let freed = Arc::new(AtomicUsize::new(0));
    let storage = Storage::new(Probe { bytes: vec![7; 4], freed: Arc::clone(&freed) });
    (storage, move || freed.load(Ordering::Relaxed))
}

#[test]
fn an_object_without_exports_is_freed_when_it_is_closed_and_never_again() {
    for closing in [Closing::Refuse, Closing::Wait] {
        let (storage, freed) = probe();
        storage.close(closing).unwrap();
        assert_eq!(freed(), 1);
        storage.close(closing).unwrap();
        assert_eq!(storage.operate(|_| ()), Err(Closed));
        assert_eq!(storage.acquire_raw().err(), Some(Closed));
        drop(storage);
        assert_eq!(freed(), 1);
    }
}

#[test]
fn a_refused_closing_changes_nothing() {
    let (storage, freed) = probe();
    storage.acquire_raw().unwrap();
    assert_eq!(storage.close(Closing::Refuse), Err(Exported(1)));
    assert!(!storage.is_closed());
    assert_eq!(storage.operate(|op| op.get(3)), Ok(Some(7)));
    // SAFETY: the export from above.
    unsafe { storage.release_raw() };
    assert_eq!((storage.exports(), freed()), (0, 0));
    storage.close(Closing::Refuse).unwrap();
    assert_eq!(freed(), 1);
}

#[test]
fn a_closing_that_waits_lets_the_last_release_free() {
    let (storage, freed) = probe();
    let raw = storage.acquire_raw().unwrap();
    storage.acquire_raw().unwrap();
    storage.close(Closing::Wait).unwrap();
    assert_eq!(storage.operate(|_| ()), Err(Closed));
    assert_eq!(storage.acquire_raw().err(), Some(Closed));
    assert_eq!(storage.close(Closing::Refuse), Ok(()));
    // SAFETY: the export keeps the memory where it is, and after it one of the two is given back.
    unsafe {
        assert_eq!(raw.ptr.add(3).read(), 7);
        storage.release_raw();
        assert_eq!(raw.ptr.read(), 7);
    }
    assert_eq!((storage.exports(), freed()), (1, 0));
    // SAFETY: the other one, whose memory is used no more.
    unsafe { storage.release_raw() };
    assert_eq!(freed(), 1);
    drop(storage);
    assert_eq!(freed(), 1);
}

#[test]
fn racing_releases_and_closings_free_once_and_after_the_last_access() {
    for round in 0..ROUNDS {
        let (storage, freed) = probe();
        let closing = if round % 2 == 0 { Closing::Wait } else { Closing::Refuse };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let Ok(raw) = storage.acquire_raw() else { return };
                        // SAFETY: the export is given back after the last use of its memory.
                        unsafe {
                            load_bytes(raw.ptr, &mut [0; 4]);
                            store_bytes(raw.ptr, &[8; 4]);
                            storage.release_raw();
                        }
                    }
                });
            }
            scope.spawn(|| (0..20).all(|_| storage.operate(|op| op.set(0, 9)).is_ok()));
            scope.spawn(|| {
                while storage.close(closing).is_err() {
                    std::thread::yield_now();
                }
            });
        });
        assert_eq!((freed(), storage.exports()), (1, 0));
    }
}

#[test]
fn memory_that_others_reach_is_compared_all_the_same() {
    let (storage, _) = probe();
    for _export in [None, Some(storage.acquire_raw())] {
        storage
            .operate(|op| {
                assert!(op.equals(&[7; 4]));
                assert!(!op.equals(&[7; 3]) && !op.equals(&[7, 7, 7, 8]));
            })
            .unwrap();
    }
    // SAFETY: the export of the second round.
    unsafe { storage.release_raw() };
}
