//! The interface as C sees it: a table of functions for each type, and three functions that look into it.
//!
//! ```text
//!   PEP 298                              here
//!   PyObject *                           *const Object, the first field of an object
//!   ob_type->tp_as_buffer                Object::procs; NULL as without Py_TPFLAGS_HAVE_LOCKEDBUFFER
//!   bf_acquirelockedreadbuffer, ...      LockedProcs
//!   PyObject_AcquireLockedReadBuffer     acquire_locked_read, and so on
//!   the exception of the thread          raise, take_error
//! ```

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr;

use super::{Access, LockError};
use crate::exporter::{Provider, RawExport};
use crate::sync::Arc;

/// What every object begins with that C can lock.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Object {
    /// The functions of its type; NULL in C if it has none.
    pub procs: Option<&'static LockedProcs>,
}

/// Locks an object for reading. On success it puts the address of the block in place, which is not NULL even if the
/// block is empty, and answers its size. On failure it puts NULL in place, [raises](raise) an error, has locked
/// nothing, and what it answers means nothing.
pub type AcquireRead = unsafe extern "C" fn(*const Object, *mut *const c_void) -> usize;
/// The same for writing.
pub type AcquireWrite = unsafe extern "C" fn(*const Object, *mut *mut c_void) -> usize;
/// Unlocks an object, once for each success of the other two. It cannot fail.
pub type Release = unsafe extern "C" fn(*const Object);

/// The locked buffer interface of a type. Any of the functions may be absent (L6).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LockedProcs {
    /// `bf_acquirelockedreadbuffer`.
    pub acquire_read: Option<AcquireRead>,
    /// `bf_acquirelockedwritebuffer`. Absent if the memory is never writable.
    pub acquire_write: Option<AcquireWrite>,
    /// `bf_releaselockedbuffer`. May be absent if the memory never moves; all exporters here have it, because the
    /// PEP recommends it: consumers that forget to release are found out.
    pub release: Option<Release>,
}

impl LockedProcs {
    /// Of what can be written.
    const WRITABLE: Self =
        Self { acquire_read: Some(acquire_read), acquire_write: Some(acquire_write), release: Some(release) };
    /// Of what is immutable.
    const IMMUTABLE: Self = Self { acquire_write: None, ..Self::WRITABLE };

    /// Is there a function for it?
    #[inline]
    pub(super) fn offer(&self, access: Access) -> bool {
        match access {
            Access::Read => self.acquire_read.is_some(),
            Access::Write => self.acquire_write.is_some(),
        }
    }
}

impl Provider {
    /// The locked buffer interface of its type (L8). A memoryview has none: its memory is another object's; nor has
    /// a stream, which has no buffer of its own either.
    pub fn locked_procs(&self) -> Option<&'static LockedProcs> {
        match self {
            Self::Bytes(_) | Self::Text(_) => Some(&LockedProcs::IMMUTABLE),
            Self::ByteArray(_) | Self::Array(_) | Self::Mmap(_) => Some(&LockedProcs::WRITABLE),
            Self::View(_) | Self::Stream(_) | Self::CArray(_) | Self::Lender(_) | Self::Lent(_) => None,
        }
    }
}

/// An exporter as an object that C can lock; a clone is the same object. Who locks it keeps one of them until it is
/// unlocked, as one keeps a reference in Python: an exporter that dies locked stops the process (R5).
#[derive(Debug, Clone)]
pub struct Exposed(Arc<Body>);

#[repr(C)]
#[derive(Debug)]
struct Body {
    head: Object,
    provider: Provider,
}

impl Exposed {
    /// The object to a handle of an exporter.
    pub fn new(provider: Provider) -> Self {
        let head = Object { procs: provider.locked_procs() };
        Self(Arc::new(Body { head, provider }))
    }

    /// What to give to C. It is valid as long as this or a clone lives.
    pub fn as_object(&self) -> *const Object {
        Arc::as_ptr(&self.0).cast()
    }

    /// The exporter.
    pub fn provider(&self) -> &Provider {
        &self.0.provider
    }
}

/// # Safety
/// `object` comes from [`Exposed::as_object`] and is valid; `buffer` is valid for a write.
unsafe extern "C" fn acquire_read(object: *const Object, buffer: *mut *const c_void) -> usize {
    // SAFETY: the caller gives a valid `Body`, of which `Object` is the first field.
    let provider = unsafe { &(*object.cast::<Body>()).provider };
    let (ptr, len) = hand_out(provider.acquire_locked(Access::Read));
    // SAFETY: the caller gives a place for the address.
    unsafe { buffer.write(ptr.cast_const()) };
    len
}

/// # Safety
/// As for `acquire_read`.
unsafe extern "C" fn acquire_write(object: *const Object, buffer: *mut *mut c_void) -> usize {
    // SAFETY: the caller gives a valid `Body`, of which `Object` is the first field.
    let provider = unsafe { &(*object.cast::<Body>()).provider };
    let (ptr, len) = hand_out(provider.acquire_locked(Access::Write));
    // SAFETY: the caller gives a place for the address.
    unsafe { buffer.write(ptr) };
    len
}

/// # Safety
/// `object` comes from [`Exposed::as_object`] and is valid. The caller gives back one lock of it, and uses the
/// memory no more.
unsafe extern "C" fn release(object: *const Object) {
    // SAFETY: the caller gives a valid `Body`, of which `Object` is the first field.
    let provider = unsafe { &(*object.cast::<Body>()).provider };
    // SAFETY: a lock is an export that was acquired raw, and the caller gives it back.
    unsafe { provider.release_raw() };
}

/// Address and size for C: NULL and an error on failure (L2).
fn hand_out(acquired: Result<RawExport, LockError>) -> (*mut c_void, usize) {
    match acquired {
        Ok(raw) => (raw.ptr.as_ptr().cast(), raw.len),
        Err(error) => {
            raise(error);
            (ptr::null_mut(), 0)
        }
    }
}

thread_local! {
    static ERROR: Cell<Option<LockError>> = const { Cell::new(None) };
}

/// Sets the error of this thread, in place of the one it has. For functions of a [`LockedProcs`] that fail.
pub fn raise(error: LockError) {
    ERROR.set(Some(error));
}

/// The error of this thread, which then has none. A success leaves it as it is.
pub fn take_error() -> Option<LockError> {
    ERROR.take()
}

/// `PyObject_AcquireLockedReadBuffer`: locks any object for reading. Answers 0 and puts address and size in place,
/// or answers -1, [raises](raise) an error and puts NULL and 0.
///
/// # Safety
/// `object` is valid, and its functions do what their types promise; `buffer` and `len` are valid for a write. Whoever
/// gets 0 calls [`release_locked`] once and uses the memory until then only, atomically.
pub unsafe extern "C" fn acquire_locked_read(
    object: *const Object,
    buffer: *mut *const c_void,
    len: *mut usize,
) -> c_int {
    let mut address = ptr::null();
    // SAFETY: the caller gives a valid object.
    let size = match unsafe { (*object).procs }.and_then(|procs| procs.acquire_read) {
        // SAFETY: the function belongs to this object, and `address` is a place.
        Some(acquire) => unsafe { acquire(object, &raw mut address) },
        None => absent(Access::Read),
    };
    // SAFETY: the caller gives places for both.
    unsafe { put(address, buffer, size, len) }
}

/// `PyObject_AcquireLockedWriteBuffer`: the same for writing.
///
/// # Safety
/// As for [`acquire_locked_read`].
pub unsafe extern "C" fn acquire_locked_write(
    object: *const Object,
    buffer: *mut *mut c_void,
    len: *mut usize,
) -> c_int {
    let mut address = ptr::null_mut();
    // SAFETY: the caller gives a valid object.
    let size = match unsafe { (*object).procs }.and_then(|procs| procs.acquire_write) {
        // SAFETY: the function belongs to this object, and `address` is a place.
        Some(acquire) => unsafe { acquire(object, &raw mut address) },
        None => absent(Access::Write),
    };
    // SAFETY: the caller gives places for both; a `*const` and a `*mut` are laid out alike.
    unsafe { put(address.cast_const(), buffer.cast(), size, len) }
}

/// `PyObject_ReleaseLockedBuffer`: unlocks any object. Without a function to do so there is nothing to do (L6). It
/// cannot fail (L3), and one release too many stops the process (L4).
///
/// # Safety
/// `object` is valid; the caller gives back one lock that it got from one of the other two, and uses the memory no
/// more.
pub unsafe extern "C" fn release_locked(object: *const Object) {
    // SAFETY: the caller gives a valid object.
    if let Some(release) = unsafe { (*object).procs }.and_then(|procs| procs.release) {
        // SAFETY: the function belongs to this object, and the caller gives back a lock.
        unsafe { release(object) };
    }
}

fn absent(access: Access) -> usize {
    raise(LockError::Absent(access));
    0
}

/// # Safety
/// `buffer` and `len` are valid for a write.
unsafe fn put(address: *const c_void, buffer: *mut *const c_void, size: usize, len: *mut usize) -> c_int {
    let failed = address.is_null();
    // SAFETY: the caller gives the places.
    unsafe {
        buffer.write(address);
        len.write(if failed { 0 } else { size });
    }
    if failed { -1 } else { 0 }
}
