//! A growing file in memory: Python's `io.BytesIO`.
//!
//! It is the memory of a [`ByteArray`](super::ByteArray) behind a cursor, and it can be closed. Python lends it out by
//! `getbuffer` alone, as a view; to a consumer that asks the stream itself it has no buffer.

use std::fmt;

use super::storage::Storage;
use super::{Closed, Closing, Export, Exported, Layout, Operation, Provider, RawExport};
use crate::sync::{Arc, AtomicUsize, Ordering};

/// A handle to a stream; a clone is another handle to the same one.
#[derive(Clone)]
pub struct Stream(Arc<Inner>);

struct Inner {
    storage: Storage<Vec<u8>>,
    cursor: Cursor,
}

/// Where an object with a cursor stands, in bytes from its begin. Like the bytes, it belongs to whoever uses it: two
/// threads that move it at once leave it where one of them put it.
#[derive(Debug, Default)]
pub(super) struct Cursor(AtomicUsize);

impl Cursor {
    #[inline]
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn set(&self, place: usize) {
        self.0.store(place, Ordering::Relaxed);
    }
}

impl Stream {
    /// The name of the type in Python.
    pub const NAME: &'static str = "_io.BytesIO";

    /// A new stream with these bytes, at their begin.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Inner { storage: Storage::new(bytes), cursor: Cursor::default() }))
    }

    /// `tell`: where it stands. It may be beyond the end.
    #[inline]
    pub fn cursor(&self) -> usize {
        self.0.cursor.get()
    }

    /// `seek`: moves it there.
    #[inline]
    pub fn set_cursor(&self, place: usize) {
        self.0.cursor.set(place);
    }

    /// Exports and locks at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.storage.exports()
    }

    /// `BytesIO.closed`: [`Stream::renew`] opens it again.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.0.storage.is_closed()
    }

    /// Are these handles to the same object?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Runs one operation of the stream, as [`ByteArray::operate`](super::ByteArray::operate) does.
    ///
    /// # Errors
    /// If the stream has been closed.
    #[inline]
    pub fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_>) -> R) -> Result<R, Closed> {
        self.0.storage.operate(f)
    }

    /// Closes the stream and frees its memory. To close a closed one does nothing.
    ///
    /// # Errors
    /// If exports exist. Nothing is changed.
    pub fn close(&self) -> Result<(), Exported> {
        self.0.storage.close(Closing::Refuse)
    }

    /// `BytesIO.__init__` with a `bytes`: it holds these bytes from now on and stands at their begin. A closed stream
    /// is open again.
    ///
    /// # Errors
    /// If exports exist. Nothing is changed.
    pub fn renew(&self, bytes: Vec<u8>) -> Result<(), Exported> {
        // SAFETY: `close` above is the only closing of a stream, and it refuses while exports exist.
        unsafe { self.0.storage.renew(bytes) }?;
        self.set_cursor(0);
        Ok(())
    }

    /// `getbuffer`: acquires an export of all the bytes, writable.
    ///
    /// # Errors
    /// If the stream has been closed.
    pub fn export(&self) -> Result<Export, Closed> {
        let raw = self.acquire_raw()?;
        let layout = Layout::bytes(raw.len, raw.readonly);
        // SAFETY: `raw` was acquired here from this object, and it is handed over.
        Ok(unsafe { Export::from_raw(Provider::Stream(self.clone()), raw, layout) })
    }

    /// Adds one export and fills in the block (G1, G3).
    ///
    /// # Errors
    /// If the stream has been closed. Then no export has been added.
    #[inline]
    pub fn acquire_raw(&self) -> Result<RawExport, Closed> {
        self.0.storage.acquire_raw()
    }

    /// Takes one export away (R1). Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same object gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        // SAFETY: the caller gives back an export of this very object.
        unsafe { self.0.storage.release_raw() };
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.storage.is_stained()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("cursor", &self.cursor())
            .field("count", &self.0.storage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_stream_neither_grows_nor_closes() {
        let stream = Stream::new(b"abc".to_vec());
        let export = stream.export().unwrap();
        assert_eq!(stream.operate(|op| op.resize().err()), Ok(Some(Exported(1))));
        assert_eq!(stream.close(), Err(Exported(1)));
        assert!(!stream.is_closed());
        drop(export);
        assert_eq!(stream.close(), Ok(()));
        assert_eq!(stream.close(), Ok(()));
    }

    #[test]
    fn a_closed_stream_gives_out_nothing() {
        let stream = Stream::new(b"abc".to_vec());
        stream.close().unwrap();
        assert_eq!(stream.operate(|op| op.len()), Err(Closed));
        assert_eq!(stream.export().err(), Some(Closed));
        assert_eq!(stream.exports(), 0);
    }

    #[test]
    fn a_closed_stream_is_open_again_when_it_gets_bytes() {
        let stream = Stream::new(b"abc".to_vec());
        stream.set_cursor(2);
        stream.close().unwrap();
        stream.renew(b"xy".to_vec()).unwrap();
        assert!(!stream.is_closed());
        assert_eq!((stream.cursor(), stream.operate(|op| op.equals(b"xy"))), (0, Ok(true)));
        let export = stream.export().unwrap();
        let mut bytes = [0; 2];
        export.read(0, &mut bytes);
        assert_eq!(&bytes, b"xy");
        drop(export);
        stream.close().unwrap();
        assert_eq!(stream.export().err(), Some(Closed));
    }

    #[test]
    fn an_open_stream_is_renewed_unless_it_is_exported() {
        let stream = Stream::new(b"abc".to_vec());
        stream.renew(b"defg".to_vec()).unwrap();
        stream.set_cursor(3);
        let export = stream.export().unwrap();
        assert_eq!(stream.renew(b"xy".to_vec()), Err(Exported(1)));
        assert_eq!((stream.cursor(), stream.operate(|op| op.equals(b"defg"))), (3, Ok(true)));
        drop(export);
        stream.renew(Vec::new()).unwrap();
        assert_eq!(stream.operate(|op| op.len()), Ok(0));
    }

    #[test]
    fn racing_threads_renew_close_and_export_one_stream() {
        let stream = Stream::new(b"abcd".to_vec());
        std::thread::scope(|scope| {
            for byte in [b'x', b'y'] {
                let stream = &stream;
                scope.spawn(move || {
                    for _ in 0..if cfg!(miri) { 20 } else { 2_000 } {
                        let _ = stream.renew(vec![byte; 4]);
                        if let Ok(export) = stream.export() {
                            let mut bytes = [0; 4];
                            export.read(0, &mut bytes);
                        }
                        let _ = stream.close();
                    }
                });
            }
        });
        assert_eq!(stream.exports(), 0);
    }

    #[test]
    fn the_cursor_is_shared_by_all_handles() {
        let stream = Stream::new(Vec::new());
        let other = stream.clone();
        stream.set_cursor(70);
        assert_eq!(other.cursor(), 70);
    }
}
