//! Views: Python's `memoryview`.
//!
//! ```text
//!   View ──┐                                  each view: a layout of its own, exports of its own,
//!   View ──┼──> Managed ──> Export ──> exporter          released by itself
//!   View ──┘    (one managed buffer)          the exporter is free when the last of them lets go (M4)
//! ```
//!
//! A view is shared by threads, and any of them may release it in the midst of another's access. So whoever touches
//! memory holds the managed buffer in place, in one of two ways:
//!
//! - `read` and `write` run under the view's own lock word. They are short, so a release rather waits for them than
//!   refuses because of them: a count held by a read would make it fail with a `BufferError` that no program has
//!   earned. When a release returns, no access through that view is in flight, and the exporter is free if this view
//!   was the last (stricter than M5).
//! - An export of the view counts in the same word. Release refuses while the count is not zero (M3), and
//!   under the lock none can appear; so an export holds the managed buffer for as long as it lives.
//!
//! The managed buffer is let go *before* `released` is set and the lock given up. So whoever finds a view released,
//! by whatever question, finds the exporter free of it.

use std::cell::UnsafeCell;
use std::fmt;

use super::planted::Fault;
use super::{Export, ExportCount, Exported, Layout, Provider, RawExport, Released};
use crate::sync::{Arc, AtomicBool, Ordering};

/// A handle to a view; a clone is another handle to the same view.
#[derive(Clone)]
pub struct View(Arc<Inner>);

struct Inner {
    count: ExportCount,
    /// Set under the lock, when `managed` has been let go.
    released: AtomicBool,
    layout: Layout,
    /// Touched under the lock only. `None` once released.
    managed: UnsafeCell<Option<Managed>>,
}

/// A share in a managed buffer.
type Managed = Arc<Export>;

// SAFETY: `managed` is the only part that threads do not share by itself, and it is touched under the lock of
// `count` alone, which lets one thread in at a time and shows it what the one before did. An `Arc<Export>` may be
// used and dropped on any thread.
unsafe impl Sync for Inner {}

impl View {
    /// The name of the type in Python.
    pub const NAME: &'static str = "memoryview";

    /// A view of a whole export, on a managed buffer of its own.
    pub fn new(export: Export) -> Self {
        let layout = export.layout().clone();
        Self::on(Arc::new(export), layout)
    }

    fn on(managed: Managed, layout: Layout) -> Self {
        Self(Arc::new(Inner {
            count: ExportCount::stained_if(managed.provider().is_stained()),
            released: AtomicBool::new(false),
            layout,
            managed: UnsafeCell::new(Some(managed)),
        }))
    }

    /// Another view on the same managed buffer, with another layout: a slice, a cast, a copy, a read-only one (M4).
    ///
    /// # Errors
    /// If this view has been released.
    pub fn derive(&self, layout: Layout) -> Result<Self, Released> {
        let managed = self.with(Arc::clone)?;
        let layout =
            if self.0.count.commits(Fault::OffByOneSlice) { self.without_last_item(layout) } else { layout };
        Ok(Self::on(managed, layout))
    }

    #[cold]
    fn without_last_item(&self, mut layout: Layout) -> Layout {
        let own = &self.0.layout;
        let cast = (layout.format, layout.ndim()) != (own.format, own.ndim());
        let copy = (layout.offset, &layout.shape, &layout.strides) == (own.offset, &own.shape, &own.strides);
        if !cast && !copy && layout.shape.first().is_some_and(|&items| items > 0) {
            layout.shape[0] -= 1;
        }
        layout
    }

    /// Where the items are (M2). It never changes.
    ///
    /// # Errors
    /// If the view has been released.
    #[inline]
    pub fn layout(&self) -> Result<&Layout, Released> {
        if self.is_released() {
            return Err(Released);
        }
        Ok(&self.0.layout)
    }

    /// Has it been released? If so, the exporter is free of it already.
    #[inline]
    pub fn is_released(&self) -> bool {
        // A release in flight may have let the exporter go, so the answer to come is waited for. If the word is
        // settled and `released` still clear, then it was clear when the word settled. The flag is `Acquire` for
        // those who see it set before they see the word unlocked: it pairs with the store in `release`.
        self.0.count.settle();
        self.0.released.load(Ordering::Acquire)
    }

    /// Exports of the view itself at this moment.
    #[inline]
    pub fn exports(&self) -> usize {
        self.0.count.exports()
    }

    /// Are these handles to the same view?
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The object that the managed buffer was acquired from: `memoryview.obj`.
    ///
    /// # Errors
    /// If the view has been released.
    pub fn provider(&self) -> Result<Provider, Released> {
        self.with(|managed| managed.provider().clone())
    }

    /// The address of the base of the exported block, from which the layout counts (G4).
    ///
    /// # Errors
    /// If the view has been released.
    #[inline]
    pub fn address(&self) -> Result<usize, Released> {
        self.with(|managed| managed.address())
    }

    /// Copies the bytes from `offset` on, counted from the base of the exported block as [`Layout::item_offset`]
    /// does.
    ///
    /// # Errors
    /// If the view has been released.
    ///
    /// # Panics
    /// If they are not all in the block.
    #[inline]
    pub fn read(&self, offset: isize, out: &mut [u8]) -> Result<(), Released> {
        self.with(|managed| managed.read(offset, out))
    }

    /// Copies `bytes` to `offset`, counted from the base of the exported block.
    ///
    /// # Errors
    /// If the view has been released.
    ///
    /// # Panics
    /// If they do not all fit into the block, or if the view is read-only.
    #[inline]
    pub fn write(&self, offset: isize, bytes: &[u8]) -> Result<(), Released> {
        self.with(|managed| {
            assert!(!self.0.layout.readonly, "write to a read-only view");
            managed.write(offset, bytes);
        })
    }

    /// Acquires an export of the view itself (G7). The view cannot be released while it lives.
    ///
    /// # Errors
    /// If the view has been released.
    pub fn export(&self) -> Result<Export, Released> {
        let raw = self.acquire_raw()?;
        let layout = self.0.layout.clone();
        // SAFETY: `raw` was acquired here from this view, and it is handed over.
        Ok(unsafe { Export::from_raw(Provider::View(self.clone()), raw, layout) })
    }

    /// What `bf_getbuffer` does in C: adds one export and gives out the block that the layout counts from.
    ///
    /// # Errors
    /// If the view has been released. Then no export has been added.
    pub fn acquire_raw(&self) -> Result<RawExport, Released> {
        // Asking and counting are one operation: a count added first and taken back from a released view could be
        // seen by others.
        let locked = self.0.count.lock();
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends before the lock does.
        let managed = unsafe { &*self.0.managed.get() };
        let raw = managed.as_ref().ok_or(Released)?.raw();
        locked.into_export();
        Ok(raw)
    }

    /// What `bf_releasebuffer` does in C: takes one export away (R1). Aborts if there is none (R4).
    ///
    /// # Safety
    /// The caller gives back one export that `acquire_raw` of this same view gave out, and uses it no more.
    #[inline]
    pub unsafe fn release_raw(&self) {
        self.0.count.release(Self::NAME);
    }

    /// Releases the view: from now on every access fails. Idempotent (R4). When it returns, no access is in flight,
    /// and the exporter is free if this was the last view of the managed buffer.
    ///
    /// # Errors
    /// If the view itself has exports (M3). Then nothing is released.
    pub fn release(&self) -> Result<(), Exported> {
        let locked = self.0.count.lock();
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends before the lock does. What
        // runs when the managed buffer is dropped does not come back here: it releases an export of an object
        // that is older than this view.
        let managed = unsafe { &mut *self.0.managed.get() };
        if managed.is_none() {
            return Ok(());
        }
        match locked.exports() {
            0 => {
                self.0.let_go(managed);
                // Pairs with the `Acquire` in `is_released`, which may see it before the lock is given up.
                self.0.released.store(true, Ordering::Release);
                Ok(())
            }
            exports => Err(Exported(exports)),
        }
    }

    /// Runs `f` on the managed buffer, which stays in place meanwhile.
    #[inline]
    fn with<R>(&self, f: impl FnOnce(&Managed) -> R) -> Result<R, Released> {
        let _locked = self.0.count.lock();
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends before the lock does,
        // because `f` cannot keep it.
        match unsafe { &*self.0.managed.get() } {
            Some(managed) => Ok(f(managed)),
            None => Err(Released),
        }
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.count.is_stained()
    }
}

impl Inner {
    /// Gives up the share in the managed buffer. The last one to do so releases the exporter, once (R2).
    fn let_go(&self, managed: &mut Option<Managed>) {
        let Some(managed) = managed.take() else {
            return;
        };
        if self.count.commits(Fault::ViewOutlivesExporter) && Arc::strong_count(&managed) > 1 {
            managed.release_too_early();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count.check_at_death(View::NAME);
        let mut managed = self.managed.get_mut().take();
        self.let_go(&mut managed);
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("count", &self.0.count)
            .field("layout", &self.0.layout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ByteArray, Bytes};
    use super::*;

    const ROUNDS: usize = if cfg!(miri) { 20 } else { 2_000 };

    fn view_of(len: usize) -> (ByteArray, View) {
        let array = ByteArray::new(vec![0; len]);
        let view = View::new(array.export());
        (array, view)
    }

    fn resize(array: &ByteArray, len: usize) -> Result<(), Exported> {
        array.operate(|op| op.resize().map(|bytes| bytes.resize(len, 0)))
    }

    #[test]
    fn the_exporter_is_free_when_the_last_view_of_a_managed_buffer_is_gone() {
        let (array, view) = view_of(8);
        let slice = view.derive(view.layout().unwrap().slice(2, 3, 2)).unwrap();
        let copy = slice.derive(slice.layout().unwrap().clone()).unwrap();
        assert_eq!(array.exports(), 1);
        view.release().unwrap();
        slice.release().unwrap();
        slice.release().unwrap();
        assert_eq!(resize(&array, 9), Err(Exported(1)));
        drop(copy);
        assert_eq!(resize(&array, 9), Ok(()));
    }

    #[test]
    fn a_released_view_answers_nothing() {
        let (array, view) = view_of(8);
        view.release().unwrap();
        assert!(view.is_released());
        assert_eq!(view.layout().err(), Some(Released));
        assert_eq!(view.read(0, &mut [0]), Err(Released));
        assert_eq!(view.write(0, &[0]), Err(Released));
        assert_eq!(view.address(), Err(Released));
        assert!(view.provider().is_err());
        assert!(view.export().is_err());
        assert!(view.derive(Layout::bytes(8, false)).is_err());
        assert_eq!((view.exports(), array.exports()), (0, 0));
    }

    #[test]
    fn a_view_with_exports_refuses_to_be_released() {
        let (array, view) = view_of(8);
        let inner = View::new(view.export().unwrap());
        assert!(inner.provider().unwrap().same(&Provider::View(view.clone())));
        assert_eq!(view.release(), Err(Exported(1)));
        assert!(!view.is_released());
        inner.write(7, &[7]).unwrap();
        assert_eq!(array.operate(|op| op.get(7)), Some(7));
        inner.release().unwrap();
        view.release().unwrap();
        assert_eq!(array.exports(), 0);
    }

    #[test]
    fn all_views_look_at_the_same_bytes() {
        let (array, view) = view_of(8);
        let slice = view.derive(view.layout().unwrap().slice(7, 4, -2)).unwrap();
        let offset = slice.layout().unwrap().item_offset(&[1]).unwrap();
        slice.write(offset, &[9]).unwrap();
        assert_eq!(array.operate(|op| op.get(5)), Some(9));
        assert_eq!(slice.address(), view.address());
        array.operate(|op| op.set(7, 3));
        let mut out = [0; 3];
        view.read(5, &mut out).unwrap();
        assert_eq!(out, [9, 0, 3]);
    }

    #[test]
    #[should_panic(expected = "read-only")]
    fn writing_through_a_read_only_view_panics() {
        let (_array, view) = view_of(8);
        let readonly = Layout { readonly: true, ..view.layout().unwrap().clone() };
        let _ = view.derive(readonly).unwrap().write(0, &[0]);
    }

    #[test]
    fn a_panic_in_an_access_leaves_the_view_usable() {
        let view = View::new(Bytes::new(b"abc").export());
        let other = view.clone();
        std::thread::spawn(move || other.read(2, &mut [0; 2])).join().unwrap_err();
        view.release().unwrap();
    }

    #[test]
    fn racing_releases_free_the_exporter_once() {
        for _ in 0..ROUNDS {
            let (array, view) = view_of(4);
            let slice = view.derive(view.layout().unwrap().slice(1, 2, 1)).unwrap();
            std::thread::scope(|scope| {
                for view in [&view, &view, &slice] {
                    let array = &array;
                    scope.spawn(move || {
                        let copy = view.derive(Layout::bytes(4, false));
                        view.release().unwrap();
                        assert!(view.is_released());
                        drop(copy);
                        let _ = resize(array, 5);
                    });
                }
            });
            assert_eq!(resize(&array, 6), Ok(()));
        }
    }

    #[test]
    fn an_access_never_reaches_memory_that_a_racing_release_let_go() {
        for _ in 0..ROUNDS {
            let (array, view) = view_of(64);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let _ = view.write(0, &[1; 64]);
                        let _ = view.read(32, &mut [0; 32]);
                    }
                });
                scope.spawn(|| {
                    for _ in 0..20 {
                        let Ok(export) = view.export() else { return };
                        export.write(1, &[2; 3]);
                    }
                });
                scope.spawn(|| {
                    while view.release().is_err() {
                        std::thread::yield_now();
                    }
                    // Nothing is in flight any more, so this cannot be refused.
                    array.operate(|op| op.resize().unwrap().shrink_to(0));
                    array.operate(|op| *op.resize().unwrap() = vec![7; 4]);
                });
            });
            let mut out = Vec::new();
            array.operate(|op| op.copy_to(&mut out));
            assert_eq!(out, [7; 4]);
        }
    }
}
