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

use std::fmt;

use super::planted::Fault;
use super::{
    CastError, Code, Export, ExportCount, Exported, Format, ItemOrder, Layout, PlaceError, Provider,
    RawExport, Released,
};
use crate::sync::{Arc, AtomicBool, Guarded, Ordering};

/// A handle to a view; a clone is another handle to the same view.
#[derive(Clone)]
pub struct View(Arc<Inner>);

struct Inner {
    count: ExportCount,
    /// Set under the lock, when `managed` has been let go.
    released: AtomicBool,
    layout: Layout,
    /// Touched under the lock only. `None` once released.
    managed: Guarded<Option<Managed>>,
}

/// The size of the largest item.
const MAX_ITEMSIZE: usize = {
    let (mut most, mut at) = (0, 0);
    while at < Code::ALL.len() {
        let size = Code::ALL[at].size();
        most = if size > most { size } else { most };
        at += 1;
    }
    most
};

/// Why a view did not do what it was asked for. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ViewError {
    /// `ValueError` in Python.
    #[error(transparent)]
    Released(#[from] Released),
    /// The view cannot be cast so.
    #[error(transparent)]
    Cast(#[from] CastError),
    /// There is no item at the index.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// `TypeError` in Python.
    #[error("the view is read-only")]
    ReadOnly,
    /// The bytes are not those of one item; in Python an item is a value, and always fits.
    #[error("an item has another length")]
    Length,
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
            managed: Guarded::new(Some(managed)),
        }))
    }

    /// Another view on the same managed buffer, with another layout: a slice, a cast, a copy, a read-only one (M4).
    ///
    /// # Errors
    /// If this view has been released.
    pub fn derive(&self, layout: Layout) -> Result<Self, Released> {
        let managed = self.with(Arc::clone)?;
        if self.is_stained() {
            Ok(self.derive_stained(managed, layout))
        } else {
            Ok(Self::on(managed, layout))
        }
    }

    /// `memoryview.cast`: a view of the same bytes as items of `format`, in one dimension or in the shape that is
    /// given.
    ///
    /// # Errors
    /// If this view has been released, or [`Layout::cast`] refuses.
    pub fn cast(&self, format: Format, shape: Option<&[isize]>) -> Result<Self, ViewError> {
        Ok(self.derive(self.layout()?.cast(format, shape)?)?)
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

    /// Copies out the item at an index, one number for each dimension, in the byte order of the machine.
    ///
    /// # Errors
    /// If the view has been released, if there is no such item, or if `item` is not as long as one. Then `item` is
    /// untouched.
    pub fn read_item(&self, index: &[isize], item: &mut [u8]) -> Result<(), ViewError> {
        let offset = self.item(index, item.len())?;
        self.read(offset, item)?;
        self.0.layout.format.reorder(item);
        Ok(())
    }

    /// Replaces the item at an index by `item`, which is in the byte order of the machine.
    ///
    /// # Errors
    /// If the view has been released or is read-only, if there is no such item, or if `item` is not as long as one.
    /// Then nothing is changed.
    pub fn write_item(&self, index: &[isize], item: &[u8]) -> Result<(), ViewError> {
        if self.layout()?.readonly {
            return Err(ViewError::ReadOnly);
        }
        let offset = self.item(index, item.len())?;
        let mut room = [0; MAX_ITEMSIZE];
        let own = &mut room[..item.len()];
        own.copy_from_slice(item);
        self.0.layout.format.reorder(own);
        Ok(self.write(offset, own)?)
    }

    /// The offset of the item at an index, if it has so many bytes.
    fn item(&self, index: &[isize], len: usize) -> Result<isize, ViewError> {
        let layout = self.layout()?;
        let offset = layout.place(index)?;
        if len == layout.itemsize() { Ok(offset) } else { Err(ViewError::Length) }
    }

    /// `memoryview.tobytes`: the bytes of all items, as they lie in memory, one item after the other in that order.
    /// The view is not released while they are copied; each byte is for itself in a race (D1).
    ///
    /// # Errors
    /// If the view has been released.
    pub fn to_bytes(&self, order: ItemOrder) -> Result<Vec<u8>, Released> {
        let layout = &self.0.layout;
        self.with(|managed| {
            let mut bytes = vec![0; layout.nbytes()];
            let in_place = match order {
                ItemOrder::C => layout.is_c_contiguous(),
                ItemOrder::Fortran => layout.is_f_contiguous(),
                ItemOrder::Any => layout.is_c_contiguous() || layout.is_f_contiguous(),
            };
            if bytes.is_empty() {
                // Where the items are that there are not, there need not be any memory.
            } else if in_place {
                managed.read(layout.offset, &mut bytes);
            } else {
                let items = bytes.chunks_exact_mut(layout.itemsize());
                items.zip(layout.offsets_in(order)).for_each(|(item, offset)| managed.read(offset, item));
            }
            bytes
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
        let managed = unsafe { &*self.0.managed.shared() };
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
        if self.is_stained()
            && let Some(done) = self.release_stained()
        {
            return done;
        }
        let locked = self.0.count.lock();
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends before the lock does. What
        // runs when the managed buffer is dropped does not come back here: it releases an export of an object
        // that is older than this view.
        let managed = unsafe { &mut *self.0.managed.unique() };
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
        if self.0.count.commits(Fault::AccessOutlivesRelease) {
            return Ok(f(&self.share()?));
        }
        let _locked = self.0.count.lock();
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends before the lock does,
        // because `f` cannot keep it.
        match unsafe { &*self.0.managed.shared() } {
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
        if self.count.is_stained() {
            self.let_go_stained(managed);
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

mod stained;
#[cfg(test)]
mod tests;
