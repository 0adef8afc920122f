use std::io::{Read, Seek};

use super::super::{Access, LockError, NotExported};
use super::*;

const ROUNDS: usize = 500;

const PRIVATE_READ: Mapping = Mapping { shared: false, readonly: true, fixed: true };
const EVERY_MAPPING: [Mapping; 4] = [Mapping::WRITE, Mapping::READ, Mapping::COPY, PRIVATE_READ];

fn page() -> usize {
    rustix::param::page_size()
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, bytes).unwrap();
    file
}

fn bytes_of(mut file: &File) -> Vec<u8> {
    let mut out = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut out).unwrap();
    out
}

fn contents(map: &Mmap) -> Vec<u8> {
    let mut out = Vec::new();
    map.operate(|op| op.copy_to(&mut out)).unwrap();
    out
}

fn resize(map: &Mmap, len: usize) -> Result<(), MapError> {
    map.operate(|op| op.remap(len))?
}

/// Is a page mapped at this address? The system answers an advice about pages that are not with an error.
fn is_mapped(address: usize) -> bool {
    let page = ptr::without_provenance_mut(address);
    // SAFETY: the advice is the one that pages get without any, so it changes nothing.
    unsafe { mm::madvise(page, 1, mm::Advice::Normal) }.is_ok()
}

#[test]
fn memory_without_a_file_is_zero_and_writable_unless_read_only() {
    for mapping in EVERY_MAPPING {
        let map = Mmap::anonymous(10, mapping).unwrap();
        assert_eq!(contents(&map), [0; 10]);
        let export = map.export().unwrap();
        assert_eq!((export.readonly(), export.layout().nbytes()), (mapping.readonly, 10));
        if !mapping.readonly {
            export.write(9, &[7]);
            map.operate(|op| op.set(0, 5)).unwrap().unwrap();
            assert_eq!(contents(&map), [5, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        }
    }
}

#[test]
fn a_shared_map_writes_to_its_file_and_a_copy_does_not() {
    for (mapping, after) in [(Mapping::WRITE, b"abXd"), (Mapping::COPY, b"abcd")] {
        let file = file_of(b"abcd");
        let map = Mmap::of_file(&file, 0, None, mapping).unwrap();
        map.export().unwrap().write(2, b"X");
        assert_eq!(contents(&map), b"abXd");
        map.operate(|op| op.flush(0, 4)).unwrap().unwrap();
        drop(map);
        assert_eq!(bytes_of(&file), after);
    }
}

#[test]
fn a_read_only_map_sees_what_others_write_to_the_file() {
    let file = file_of(b"abcd");
    let writer = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let reader = Mmap::of_file(&file, 0, None, Mapping::READ).unwrap();
    let export = reader.export().unwrap();
    writer.operate(|op| op.set(1, b'!')).unwrap();
    let mut out = [0; 4];
    export.read(0, &mut out);
    assert_eq!(&out, b"a!cd");
    assert!(reader.operate(|op| op.equals(b"a!cd")).unwrap());
    assert_eq!(reader.operate(|op| op.flush(0, 4)), Ok(Ok(())));
}

#[test]
#[should_panic(expected = "read-only")]
fn an_operation_that_writes_to_a_read_only_map_panics() {
    let _ = Mmap::anonymous(4, Mapping::READ).unwrap().operate(|op| op.set(0, 1));
}

#[test]
#[should_panic(expected = "read-only")]
fn an_export_that_writes_to_a_read_only_map_panics() {
    Mmap::anonymous(4, Mapping::READ).unwrap().export().unwrap().write(0, &[1]);
}

#[test]
fn a_map_begins_at_its_offset() {
    let mut bytes = vec![b'.'; page()];
    bytes.extend(b"tail");
    let file = file_of(&bytes);
    let offset = page() as u64;
    let map = Mmap::of_file(&file, offset, None, Mapping::WRITE).unwrap();
    assert_eq!(contents(&map), b"tail");
    resize(&map, 6).unwrap();
    assert_eq!(contents(&map), b"tail\0\0");
    assert_eq!(file.metadata().unwrap().len(), offset + 6);
    assert_eq!(map.operate(|op| op.size()), Ok(Ok(offset + 6)));
    let error = Mmap::of_file(&file, 5, Some(1), Mapping::WRITE).unwrap_err();
    assert_eq!(error, MapError::System(Errno::INVAL.raw_os_error()));
}

#[test]
fn a_map_of_no_bytes_is_refused() {
    let empty = |map: Result<Mmap, MapError>| assert_eq!(map.unwrap_err(), MapError::Empty);
    empty(Mmap::anonymous(0, Mapping::WRITE));
    empty(Mmap::of_file(&file_of(b""), 0, None, Mapping::WRITE));
    empty(Mmap::of_file(&file_of(b"abc"), 0, Some(0), Mapping::WRITE));
}

#[test]
fn a_file_that_is_shorter_than_the_map_is_refused() {
    let file = file_of(b"abc");
    let refused = |offset, len| Mmap::of_file(&file, offset, len, Mapping::READ).unwrap_err();
    assert_eq!(refused(0, Some(4)), MapError::BeyondFile);
    assert_eq!(refused(0, Some(usize::MAX)), MapError::BeyondFile);
    assert_eq!(refused(4, None), MapError::BeyondFile);
    assert_eq!(refused(u64::MAX, Some(1)), MapError::BeyondFile);
    assert_eq!(refused(3, None), MapError::Empty);
}

#[test]
fn a_file_that_vanishes_is_mapped_until_the_end() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(8).unwrap();
    let map = Mmap::of_file(file.as_file(), 0, None, Mapping::WRITE).unwrap();
    file.close().unwrap();
    map.operate(|op| op.set(7, 1)).unwrap();
    resize(&map, 9).unwrap();
    assert_eq!(contents(&map), [0, 0, 0, 0, 0, 0, 0, 1, 0]);
}

#[test]
fn a_file_is_cut_off_behind_the_back_of_its_map() {
    let file = file_of(b"abcdef");
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let export = map.export().unwrap();
    assert_eq!(map.operate(|op| op.truncate_file(3)), Ok(Some(Ok(()))));
    assert_eq!((contents(&map), map.operate(|op| op.size())), (b"abc\0\0\0".to_vec(), Ok(Ok(3))));
    export.write(5, b"x");
    map.operate(|op| op.flush(0, 6)).unwrap().unwrap();
    assert_eq!((export.layout().nbytes(), bytes_of(&file)), (6, b"abc".to_vec()));
    drop(export);
    resize(&map, 2).unwrap();
    resize(&map, 6).unwrap();
    assert_eq!((contents(&map), bytes_of(&file)), (b"ab\0\0\0\0".to_vec(), b"ab\0\0\0\0".to_vec()));
    let anonymous = Mmap::anonymous(4, Mapping::WRITE).unwrap();
    assert_eq!(anonymous.operate(|op| op.truncate_file(2)), Ok(None));
}

#[test]
fn what_the_system_refuses_is_an_error_with_its_number() {
    let error = Mmap::anonymous(isize::MAX as usize, Mapping::WRITE).unwrap_err();
    assert_eq!(error, MapError::System(Errno::NOMEM.raw_os_error()));
    assert_eq!(Mmap::anonymous(usize::MAX, Mapping::WRITE).unwrap_err(), MapError::OutOfRange);
    let read_only = File::open(std::env::current_exe().unwrap()).unwrap();
    let error = Mmap::of_file(&read_only, 0, Some(1), Mapping::WRITE).unwrap_err();
    assert_eq!(error, MapError::System(Errno::ACCESS.raw_os_error()));
    assert!(error.to_string().contains("denied"), "{error}");
}

#[test]
fn a_resize_keeps_the_bytes_and_takes_the_file_along() {
    let file = file_of(b"abcdef");
    let map = Mmap::of_file(&file, 0, Some(4), Mapping::WRITE).unwrap();
    resize(&map, 2).unwrap();
    assert_eq!((contents(&map), bytes_of(&file)), (b"ab".to_vec(), b"ab".to_vec()));
    let long = 3 * page() + 1;
    resize(&map, long).unwrap();
    assert_eq!(file.metadata().unwrap().len(), long as u64);
    map.operate(|op| {
        assert_eq!((op.len(), op.get(2), op.get(long - 1), op.get(long)), (long, Some(0), Some(0), None));
        op.set(long - 1, 9).unwrap();
    })
    .unwrap();
    let mut out = [0; 2];
    map.export().unwrap().read(0, &mut out);
    assert_eq!(&out, b"ab");
    assert_eq!(bytes_of(&file)[long - 1], 9);
}

#[test]
fn a_refused_resize_changes_nothing() {
    let file = file_of(b"abcd");
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let export = map.export().unwrap();
    let lock = Provider::from(map.clone()).lock(Access::Read).unwrap();
    for len in [0, 1, 4, 9, usize::MAX] {
        assert_eq!(resize(&map, len), Err(MapError::Exported(Exported(2))));
    }
    assert_eq!(export.address(), lock.address());
    drop((export, lock));
    assert_eq!(resize(&map, 0), Err(MapError::Empty));
    assert_eq!(resize(&map, usize::MAX), Err(MapError::OutOfRange));
    assert!(matches!(resize(&map, isize::MAX as usize), Err(MapError::System(_))));
    assert_eq!((contents(&map), bytes_of(&file)), (b"abcd".to_vec(), b"abcd".to_vec()));
}

#[test]
fn a_map_that_the_system_will_not_enlarge_leaves_its_file_alone() {
    // In memory a file may be longer than the address space of a process is, so that it is the map which fails;
    // where there is no such folder, the file does.
    let mut file = tempfile::tempfile_in("/dev/shm").or_else(|_| tempfile::tempfile()).unwrap();
    io::Write::write_all(&mut file, b"abcd").unwrap();
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let error = resize(&map, 1 << 60).unwrap_err();
    assert!(matches!(error, MapError::System(_)), "{error:?}");
    assert_eq!((contents(&map), bytes_of(&file)), (b"abcd".to_vec(), b"abcd".to_vec()));
}

#[test]
fn only_a_map_whose_writes_are_kept_is_resized() {
    let file = file_of(b"abcd");
    for mapping in [Mapping::READ, Mapping::COPY, Mapping::PRIVATE, PRIVATE_READ] {
        let map = Mmap::of_file(&file, 0, None, mapping).unwrap();
        assert_eq!(resize(&map, 2), Err(MapError::NotResizable));
    }
    assert_eq!(resize(&Mmap::anonymous(4, Mapping::READ).unwrap(), 2), Err(MapError::NotResizable));
    assert_eq!(bytes_of(&file), b"abcd");
    assert_eq!(resize(&Mmap::anonymous(4, Mapping::COPY).unwrap(), 2), Err(MapError::NotResizable));
    let private = Mmap::anonymous(4, Mapping::PRIVATE).unwrap();
    private.operate(|op| op.set(3, 3)).unwrap();
    resize(&private, 5 * page()).unwrap();
    assert_eq!(private.operate(|op| (op.get(3), op.get(5 * page() - 1))), Ok((Some(3), Some(0))));
}

#[test]
fn shared_memory_without_a_file_never_grows_beyond_its_last_page() {
    let map = Mmap::anonymous(4, Mapping::WRITE).unwrap();
    assert_eq!(resize(&map, page() + 1), Err(MapError::CannotGrow));
    map.operate(|op| op.write(0, 1, b"abcd")).unwrap();
    resize(&map, 2).unwrap();
    assert_eq!(contents(&map), b"ab");
    resize(&map, 5).unwrap();
    assert_eq!(contents(&map), b"abcd\0");
}

#[test]
fn a_flush_is_within_the_map_and_begins_with_a_page() {
    let file = file_of(&vec![1; 2 * page()]);
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let flush = |start, len| map.operate(|op| op.flush(start, len)).unwrap();
    assert_eq!(flush(0, 2 * page()), Ok(()));
    assert_eq!(flush(page(), 3), Ok(()));
    assert_eq!(flush(2 * page(), 0), Ok(()));
    assert_eq!(flush(0, 2 * page() + 1), Err(MapError::OutOfRange));
    assert_eq!(flush(usize::MAX, 2), Err(MapError::OutOfRange));
    assert_eq!(flush(5, 3), Err(MapError::System(Errno::INVAL.raw_os_error())));
}

#[test]
fn closing_is_refused_while_the_map_is_exported() {
    let map = Mmap::anonymous(4, Mapping::WRITE).unwrap();
    let export = map.export().unwrap();
    let lock = Provider::from(map.clone()).lock(Access::Write).unwrap();
    assert_eq!(map.close(Closing::Refuse), Err(Exported(2)));
    drop(export);
    assert_eq!(map.close(Closing::Refuse), Err(Exported(1)));
    lock.write(3, &[3]);
    assert_eq!((contents(&map), map.is_closed()), (vec![0, 0, 0, 3], false));
    let address = lock.address();
    drop(lock);
    assert!(is_mapped(address));
    map.close(Closing::Refuse).unwrap();
    assert!(map.is_closed());
    map.close(Closing::Refuse).unwrap();
}

#[test]
fn a_closed_map_does_nothing() {
    for closing in [Closing::Refuse, Closing::Wait] {
        let map = Mmap::anonymous(4, Mapping::READ).unwrap();
        map.close(closing).unwrap();
        assert_eq!(map.operate(|_| ()), Err(Closed));
        assert_eq!(resize(&map, 2), Err(MapError::Closed));
        assert_eq!(map.export().err(), Some(Closed));
        let provider = Provider::from(map.clone());
        assert_eq!(provider.export().err(), Some(NotExported::Closed));
        for access in [Access::Read, Access::Write] {
            assert_eq!(provider.lock(access).err(), Some(LockError::Closed));
        }
        assert_eq!(map.exports(), 0);
    }
}

#[test]
fn a_closing_that_waits_unmaps_when_the_last_lock_goes() {
    let file = file_of(b"abcd");
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    let export = map.export().unwrap();
    let lock = Provider::from(map.clone()).lock(Access::Write).unwrap();
    map.close(Closing::Wait).unwrap();
    assert!(map.is_closed());
    assert_eq!(map.export().err(), Some(Closed));
    assert_eq!(map.operate(|_| ()), Err(Closed));
    assert_eq!(map.exports(), 2);
    drop(export);
    lock.write(0, b"!");
    let mut out = [0; 4];
    lock.read(0, &mut out);
    assert_eq!(&out, b"!bcd");
    let address = lock.address();
    assert!(is_mapped(address));
    drop(lock);
    assert_eq!(map.exports(), 0);
    assert_eq!(map.close(Closing::Refuse), Ok(()));
    drop(map);
    assert_eq!(bytes_of(&file), b"!bcd");
}

#[test]
fn pages_are_unmapped_by_the_last_release_and_not_before() {
    // Pages that another thread maps meanwhile may come to stand at the same place, so one of several maps tells.
    let unmapped = (0..20).any(|_| {
        let map = Mmap::anonymous(64 * page(), Mapping::WRITE).unwrap();
        let export = map.export().unwrap();
        map.close(Closing::Wait).unwrap();
        let address = export.address();
        assert!(is_mapped(address));
        drop(export);
        !is_mapped(address)
    });
    assert!(unmapped);
}

#[test]
fn racing_exports_never_see_pages_move_or_go() {
    let file = file_of(&[0; 16]);
    let map = Mmap::of_file(&file, 0, None, Mapping::WRITE).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Ok(export) = map.export() {
                    let mut out = vec![1; export.block_len()];
                    export.read(0, &mut out);
                    assert!(out.iter().all(|&byte| byte == 0));
                    export.write(0, &out);
                    assert!(map.operate(|op| op.len()).is_ok_and(|len| len == out.len()) || map.is_closed());
                }
            });
        }
        scope.spawn(|| {
            for round in 0..ROUNDS {
                match resize(&map, 16 + round * 37 % (4 * page())) {
                    Ok(()) | Err(MapError::Exported(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            map.close(Closing::Wait).unwrap();
        });
    });
    assert_eq!((map.exports(), map.is_closed()), (0, true));
}
