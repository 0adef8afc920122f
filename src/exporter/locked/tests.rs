//! Each clause of PEP 298 by its name, in C and in Rust.

use std::ffi::c_void;
use std::ptr;
use std::sync::mpsc;
use std::time::Duration;

use super::super::{Array, ByteArray, Bytes, Exported, Text, TypeCode, View, last_words};
#[cfg(not(miri))]
use super::super::{Closing, Mapping, Mmap};
use super::*;

const ROUNDS: usize = if cfg!(miri) { 20 } else { 2_000 };
const BOTH: [Access; 2] = [Access::Read, Access::Write];

/// What an acquire in C has put in place and answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    code: i32,
    address: usize,
    len: usize,
    error: Option<LockError>,
}

/// Acquires as a consumer in C does, with rubbish in the places to be filled.
fn acquire(object: &Exposed, access: Access) -> Answer {
    let mut read: *const c_void = ptr::without_provenance(0xBAD);
    let mut write: *mut c_void = ptr::without_provenance_mut(0xBAD);
    let mut len = 0xBAD;
    assert_eq!(take_error(), None);
    // SAFETY: the object is valid, and the places are. The memory is not touched.
    let code = unsafe {
        match access {
            Access::Read => acquire_locked_read(object.as_object(), &raw mut read, &raw mut len),
            Access::Write => acquire_locked_write(object.as_object(), &raw mut write, &raw mut len),
        }
    };
    let address = if access == Access::Read { read.addr() } else { write.addr() };
    Answer { code, address, len, error: take_error() }
}

/// Acquires through the function of the type itself: the address alone, because the answer means nothing on failure.
fn acquire_by_table(object: &Exposed, access: Access) -> (usize, usize) {
    let procs = object.provider().locked_procs().unwrap();
    let mut read: *const c_void = ptr::without_provenance(0xBAD);
    let mut write: *mut c_void = ptr::without_provenance_mut(0xBAD);
    // SAFETY: as above.
    unsafe {
        match access {
            Access::Read => {
                let len = procs.acquire_read.unwrap()(object.as_object(), &raw mut read);
                (read.addr(), len)
            }
            Access::Write => {
                let len = procs.acquire_write.unwrap()(object.as_object(), &raw mut write);
                (write.addr(), len)
            }
        }
    }
}

/// # Safety
/// The object was acquired once for this.
unsafe fn release(object: &Exposed) {
    // SAFETY: the object is valid, and the caller gives back a lock.
    unsafe { release_locked(object.as_object()) };
}

fn failed(error: LockError) -> Answer {
    Answer { code: -1, address: 0, len: 0, error: Some(error) }
}

fn doubles() -> Array {
    Array::new(TypeCode::named("d").unwrap(), &[7; 24])
}

/// One of each that is locked for writing, of 24 bytes.
fn writable() -> Vec<Provider> {
    vec![
        ByteArray::new(vec![7; 24]).into(),
        doubles().into(),
        #[cfg(not(miri))]
        Mmap::anonymous(24, Mapping::WRITE).unwrap().into(),
    ]
}

/// One of each that is locked for reading alone, of 24 bytes.
fn immutable() -> Vec<Provider> {
    vec![Bytes::new(&[7; 24]).into(), Text::new("αβγδεζηθικλμ").into()]
}

#[test]
fn l1_an_acquire_gives_pointer_and_size_of_one_block_and_locks() {
    let read_only = immutable().into_iter().map(|provider| (provider, false));
    for (provider, writes) in writable().into_iter().map(|provider| (provider, true)).chain(read_only) {
        let object = Exposed::new(provider.clone());
        for access in BOTH.into_iter().filter(|&access| writes || access == Access::Read) {
            let lock = provider.lock(access).unwrap();
            assert_eq!((lock.len(), lock.is_empty(), provider.exports()), (24, false, 1));
            assert_eq!(lock.readonly(), access == Access::Read);
            assert!(lock.provider().same(&provider));
            let answer = acquire(&object, access);
            assert_eq!(answer, Answer { code: 0, address: lock.address(), len: 24, error: None });
            assert_eq!(acquire_by_table(&object, access), (lock.address(), 24));
            assert_eq!(provider.exports(), 3);
            // SAFETY: the two locks from above.
            unsafe {
                release(&object);
                release(&object);
            }
            drop(lock);
            assert_eq!(provider.exports(), 0);
        }
    }
}

#[test]
fn l1_what_is_written_through_the_pointer_is_in_the_object() {
    let array = ByteArray::new(b"abc".to_vec());
    let object = Exposed::new(array.clone().into());
    let mut address = ptr::null_mut();
    let mut len = 0;
    // SAFETY: the object is valid, and the places are; the last byte of the block is written before the release, by
    // the only thread that there is.
    unsafe {
        assert_eq!(acquire_locked_write(object.as_object(), &raw mut address, &raw mut len), 0);
        address.cast::<u8>().add(len - 1).write(b'!');
        release(&object);
    }
    assert!(array.operate(|op| op.equals(b"ab!")));
    let lock = object.provider().lock(Access::Write).unwrap();
    lock.write(0, b"xy");
    let mut out = [0; 3];
    lock.read(0, &mut out);
    assert_eq!(&out, b"xy!");
}

#[test]
fn l1_the_pointer_to_an_empty_block_is_not_null() {
    for provider in [ByteArray::new(vec![]).into(), Bytes::new(b"").into(), Text::new("").into()] {
        let object = Exposed::new(provider);
        let answer = acquire(&object, Access::Read);
        assert_eq!((answer.code, answer.len, answer.error), (0, 0, None));
        assert_ne!(answer.address, 0);
        // SAFETY: the lock from above.
        unsafe { release(&object) };
    }
}

#[test]
#[should_panic(expected = "read-only")]
fn l1_a_lock_for_reading_does_not_write() {
    Provider::from(ByteArray::new(vec![0])).lock(Access::Read).unwrap().write(0, &[1]);
}

#[test]
#[should_panic(expected = "outside of a block of 4")]
fn l1_nothing_outside_of_the_block_is_read() {
    Provider::from(ByteArray::new(vec![0; 4])).lock(Access::Read).unwrap().read(usize::MAX, &mut [0]);
}

#[test]
#[cfg(not(miri))]
fn l2_a_failure_gives_null_and_an_error_and_locks_nothing() {
    let readonly = Mmap::anonymous(24, Mapping::READ).unwrap();
    let closed = Mmap::anonymous(24, Mapping::READ).unwrap();
    let closing = Mmap::anonymous(24, Mapping::WRITE).unwrap();
    let last = closing.export().unwrap();
    closed.close(Closing::Refuse).unwrap();
    closing.close(Closing::Wait).unwrap();
    let cases = [
        (Provider::from(readonly), Access::Write, LockError::ReadOnly, 0),
        (closed.clone().into(), Access::Read, LockError::Closed, 0),
        (closed.into(), Access::Write, LockError::Closed, 0),
        (closing.clone().into(), Access::Read, LockError::Closed, 1),
        (closing.into(), Access::Write, LockError::Closed, 1),
    ];
    for (provider, access, error, exports) in cases {
        let object = Exposed::new(provider.clone());
        assert_eq!(provider.lock(access).err(), Some(error));
        assert_eq!(acquire(&object, access), failed(error));
        assert_eq!(acquire_by_table(&object, access).0, 0);
        assert_eq!((take_error(), provider.exports()), (Some(error), exports));
    }
    drop(last);
}

#[test]
fn l2_an_error_belongs_to_the_thread_that_failed_until_it_is_taken() {
    let object = Exposed::new(Bytes::new(b"abc").into());
    raise(LockError::Closed);
    let seen = std::thread::spawn(take_error).join().unwrap();
    assert_eq!(seen, None);
    let (mut address, mut len) = (ptr::null(), 0);
    // SAFETY: the object is valid, and the places are; the lock is given back.
    unsafe {
        acquire_locked_read(object.as_object(), &raw mut address, &raw mut len);
        release(&object);
    }
    assert_eq!((take_error(), take_error()), (Some(LockError::Closed), None));
}

#[test]
fn l3_each_release_unlocks_one_acquire() {
    for provider in writable().into_iter().chain(immutable()) {
        let object = Exposed::new(provider.clone());
        for locks in [1, 2, 3] {
            (0..locks).for_each(|_| assert_eq!(acquire(&object, Access::Read).code, 0));
            for left in (0..locks).rev() {
                // SAFETY: one of the locks from above.
                unsafe { release(&object) };
                assert_eq!(provider.exports(), left);
            }
        }
        // It is as free as before.
        drop(provider.lock(Access::Read).unwrap());
        assert_eq!((provider.exports(), take_error()), (0, None));
    }
}

#[test]
fn l3_a_release_does_not_wait_for_an_operation_in_flight() {
    let array = ByteArray::new(vec![7; 4]);
    let lock = Provider::from(array.clone()).lock(Access::Write).unwrap();
    array.operate(|op| {
        assert_eq!(op.resize().err(), Some(Exported(1)));
        let (done, wait) = mpsc::channel();
        std::thread::spawn(move || {
            drop(lock);
            let _ = done.send(());
        });
        wait.recv_timeout(Duration::from_secs(20)).expect("the release ends");
        assert_eq!(op.resize().err(), None);
    });
}

/// The exporter and the name that it is to be stopped by.
fn release_too_often(provider: Provider, test: &str) {
    let name = provider.name();
    if last_words::are_due() {
        let object = Exposed::new(provider);
        acquire(&object, Access::Read);
        // SAFETY: none: this is the crime. The second release stops the process.
        unsafe {
            release(&object);
            release(&object);
        }
    }
    let words = last_words::of(module_path!(), test);
    assert!(words.contains(&format!("{name}: released more often than acquired")), "{words}");
}

/// The clause for each exporter, in a process of its own.
macro_rules! l4 {
    ($($test:ident $exporter:expr;)*) => {
        $(#[test]
        #[cfg_attr(miri, ignore = "starts a process")]
        fn $test() {
            release_too_often($exporter.into(), stringify!($test));
        })*
    };
}

l4! {
    l4_releasing_bytes_too_often_stops_the_process Bytes::new(b"abc");
    l4_releasing_a_bytearray_too_often_stops_the_process ByteArray::new(vec![1]);
    l4_releasing_an_array_too_often_stops_the_process doubles();
    l4_releasing_text_too_often_stops_the_process Text::new("abc");
}

#[cfg(not(miri))]
l4! {
    l4_releasing_a_map_too_often_stops_the_process Mmap::anonymous(1, Mapping::WRITE).unwrap();
}

#[test]
fn l5_what_is_locked_is_not_resized() {
    let (bytes, items) = (ByteArray::new(vec![7; 24]), doubles());
    for access in BOTH {
        let lock = Provider::from(bytes.clone()).lock(access).unwrap();
        assert_eq!(bytes.operate(|op| op.resize().err()), Some(Exported(1)));
        drop(lock);
        let lock = Provider::from(items.clone()).lock(access).unwrap();
        assert_eq!(items.operate(|op| op.splice(0, 1, &[])), Err(Exported(1)));
        let mut out = [0; 24];
        lock.read(0, &mut out);
        assert_eq!(out, [7; 24]);
        drop(lock);
    }
    bytes.operate(|op| op.resize().unwrap().clear());
    items.operate(|op| op.splice(0, 3, &[])).unwrap();
}

#[test]
#[cfg(not(miri))]
fn l5_a_map_that_is_locked_is_neither_resized_nor_closed() {
    use super::super::MapError;
    let map = Mmap::anonymous(24, Mapping::PRIVATE).unwrap();
    for access in BOTH {
        let lock = Provider::from(map.clone()).lock(access).unwrap();
        assert_eq!(map.operate(|op| op.remap(5)), Ok(Err(MapError::Exported(Exported(1)))));
        assert_eq!(map.close(Closing::Refuse), Err(Exported(1)));
        drop(lock);
    }
    map.operate(|op| op.remap(5)).unwrap().unwrap();
    map.close(Closing::Refuse).unwrap();
}

#[test]
fn l5_locks_and_exports_hold_one_word() {
    let array = ByteArray::new(vec![7; 4]);
    let provider = Provider::from(array.clone());
    let (view, lock) = (View::new(array.export()), provider.lock(Access::Write).unwrap());
    assert_eq!((array.exports(), view.address()), (2, Ok(lock.address())));
    lock.write(0, &[1]);
    let mut out = [0];
    view.read(0, &mut out).unwrap();
    assert_eq!(out, [1]);
    view.release().unwrap();
    assert_eq!(array.operate(|op| op.resize().err()), Some(Exported(1)));
    drop(lock);
    array.operate(|op| op.resize().unwrap().push(1));
}

#[test]
fn l5_racing_locks_never_see_memory_move() {
    let array = doubles();
    std::thread::scope(|scope| {
        for access in BOTH {
            let provider = Provider::from(array.clone());
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    let lock = provider.lock(access).unwrap();
                    let mut out = vec![0; lock.len()];
                    lock.read(0, &mut out);
                    assert!(out.iter().all(|&byte| byte == 7));
                    if !lock.readonly() {
                        lock.write(0, &out);
                    }
                }
            });
        }
        scope.spawn(|| {
            for round in 0..ROUNDS {
                let _ = array.operate(|op| op.splice(0, op.items(), &vec![7; round * 37 % 400 * 8]));
            }
        });
    });
    assert_eq!(array.exports(), 0);
}

/// An exporter that is not ours: it has a block that never moves, so it needs no release; and nothing else.
#[repr(C)]
struct Still {
    head: Object,
    block: [u8; 3],
}

unsafe extern "C" fn still_acquire_read(object: *const Object, buffer: *mut *const c_void) -> usize {
    // SAFETY: the table is that of a `Still`, and the caller gives a place.
    unsafe {
        let block = &raw const (*object.cast::<Still>()).block;
        buffer.write(block.cast());
        (*block).len()
    }
}

const ABSENT: LockedProcs = LockedProcs { acquire_read: None, acquire_write: None, release: None };
static STILL: LockedProcs = LockedProcs { acquire_read: Some(still_acquire_read), ..ABSENT };
static NOTHING: LockedProcs = ABSENT;

#[test]
fn l6_any_function_may_be_absent() {
    let acquire = |still: &Still, write: bool| {
        let still = ptr::from_ref(still);
        let (mut address, mut len) = (ptr::without_provenance::<c_void>(0xBAD), 0xBAD);
        // SAFETY: the object is valid, and so are the places. A release that is absent may be called for.
        let code = unsafe {
            release_locked(still.cast());
            if write {
                acquire_locked_write(still.cast(), (&raw mut address).cast(), &raw mut len)
            } else {
                acquire_locked_read(still.cast(), &raw mut address, &raw mut len)
            }
        };
        Answer { code, address: address.addr(), len, error: take_error() }
    };
    let with = |procs| Still { head: Object { procs }, block: *b"abc" };
    let still = with(Some(&STILL));
    let address = still.block.as_ptr().addr();
    assert_eq!(acquire(&still, false), Answer { code: 0, address, len: 3, error: None });
    assert_eq!(acquire(&still, true), failed(LockError::Absent(Access::Write)));
    for procs in [None, Some(&NOTHING)] {
        assert_eq!(acquire(&with(procs), false), failed(LockError::Absent(Access::Read)));
        assert_eq!(acquire(&with(procs), true), failed(LockError::Absent(Access::Write)));
    }
}

#[test]
fn l6_what_is_immutable_has_no_function_to_write_and_what_has_no_memory_has_none() {
    for provider in immutable() {
        let procs = provider.locked_procs().unwrap();
        assert!(procs.acquire_write.is_none());
        assert!(procs.release.is_some(), "recommended, even if it did nothing");
        let absent = LockError::Absent(Access::Write);
        assert_eq!(provider.lock(Access::Write).err(), Some(absent));
        assert_eq!(acquire(&Exposed::new(provider.clone()), Access::Write), failed(absent));
        assert_eq!(provider.exports(), 0);
    }
    let view = View::new(Bytes::new(b"abc").export());
    let provider = Provider::from(view.clone());
    assert!(provider.locked_procs().is_none());
    for access in BOTH {
        assert_eq!(provider.lock(access).err(), Some(LockError::Absent(access)));
        assert_eq!(acquire(&Exposed::new(provider.clone()), access), failed(LockError::Absent(access)));
    }
    assert_eq!(view.exports(), 0);
}

#[test]
fn l6_a_table_is_laid_out_as_three_pointers_that_may_be_null() {
    assert_eq!(size_of::<LockedProcs>(), 3 * size_of::<*const c_void>());
    assert_eq!(size_of::<Object>(), size_of::<*const c_void>());
    // SAFETY: the table has the size of three pointers and no padding.
    let words: [usize; 3] = unsafe { std::mem::transmute(STILL) };
    assert_eq!(words.map(|word| word != 0), [true, false, false]);
}

#[test]
fn l7_the_memory_is_used_on_other_threads_while_an_operation_is_in_flight() {
    let array = ByteArray::new(vec![7; 4]);
    let lock = Provider::from(array.clone()).lock(Access::Write).unwrap();
    // The lock of the object is to the object what the GIL was to all.
    array.operate(|op| {
        let (done, wait) = mpsc::channel();
        std::thread::spawn(move || {
            lock.write(1, &[8]);
            let mut out = [0; 4];
            lock.read(0, &mut out);
            let _ = done.send((lock, out));
        });
        let (lock, out) = wait.recv_timeout(Duration::from_secs(20)).expect("the accesses end");
        assert_eq!((out, op.get(1)), ([7, 8, 7, 7], Some(8)));
        drop(lock);
    });
}

#[test]
fn l7_what_one_thread_acquires_another_uses_and_a_third_releases() {
    let object = Exposed::new(ByteArray::new(vec![7; 4]).into());
    let answer = acquire(&object, Access::Read);
    std::thread::scope(|scope| {
        let object = &object;
        let (address, len) = (answer.address, answer.len);
        scope.spawn(move || assert_eq!((acquire(object, Access::Read).address, len), (address, 4)));
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: the locks of the two other threads, which use the memory no more.
            unsafe {
                release(&object);
                release(&object);
            }
        });
    });
    assert_eq!(object.provider().exports(), 0);
}

#[test]
fn l8_strings_text_arrays_and_maps_all_offer_it() {
    let names: Vec<_> = immutable()
        .into_iter()
        .chain(writable())
        .map(|provider| {
            let procs = provider.locked_procs().unwrap();
            assert!(procs.acquire_read.is_some() && procs.release.is_some());
            assert!(provider.lock(Access::Read).is_ok());
            provider.name()
        })
        .collect();
    let all = ["bytes", "str", "bytearray", "array.array", "mmap.mmap"];
    assert_eq!(names, all[..if cfg!(miri) { 4 } else { 5 }]);
}

#[test]
#[cfg(all(not(miri), target_pointer_width = "64"))]
fn l9_more_than_four_gibibytes_report_their_true_length() {
    let len = (1 << 32) + 5;
    let file = tempfile::tempfile().unwrap();
    file.set_len(len as u64).unwrap();
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let object = Exposed::new(map.clone().into());
    for access in BOTH {
        let lock = object.provider().lock(access).unwrap();
        assert_eq!(lock.len(), len);
        let answer = acquire(&object, access);
        assert_eq!(answer, Answer { code: 0, address: lock.address(), len, error: None });
        assert_eq!(acquire_by_table(&object, access), (lock.address(), len));
        let mut out = [1];
        lock.read(len - 1, &mut out);
        assert_eq!(out, [if access == Access::Read { 0 } else { 9 }]);
        // SAFETY: the two locks from above.
        unsafe {
            release(&object);
            release(&object);
        }
        map.operate(|op| op.set(len - 1, 9)).unwrap().unwrap();
    }
    // The first bytes are other ones than the last.
    assert_eq!(map.operate(|op| (op.len(), op.get(4))), Ok((len, Some(0))));
}

#[test]
fn errors_are_fragments() {
    let absent = LockError::Absent(Access::Write).to_string();
    assert_eq!(absent, "objects of this type cannot be locked for writing");
    assert_eq!(LockError::ReadOnly.to_string(), "the object is read-only");
    assert_eq!(LockError::Closed.to_string(), "the object has been closed");
}
