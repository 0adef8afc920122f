//! What views do in which faults take hold (see [`planted`](super::super::planted)).

use super::super::planted::Fault;
use super::{Arc, Exported, Inner, Layout, Managed, Ordering, Released, View};

impl View {
    /// A share of its own in the managed buffer.
    #[cold]
    pub(super) fn share(&self) -> Result<Managed, Released> {
        let locked = self.0.count.lock();
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends with the statement.
        let managed = unsafe { &*self.0.managed.shared() }.clone();
        drop(locked);
        // Where threads take turns, each look at the count is one.
        self.0.count.exports();
        managed.ok_or(Released)
    }

    /// As [`derive`](Self::derive).
    #[cold]
    pub(super) fn derive_stained(&self, managed: Managed, mut layout: Layout) -> Self {
        let own = &self.0.layout;
        let cast = (layout.format, layout.ndim()) != (own.format, own.ndim());
        let copy = (layout.offset, &layout.shape, &layout.strides) == (own.offset, &own.shape, &own.strides);
        let commits = |fault| self.0.count.commits(fault);
        if cast
            && commits(Fault::CastCountsTwice)
            && let Ok(export) = managed.provider().export()
            && export.provider().is_stained()
        {
            export.forget();
        }
        let items = layout.shape.first().copied().unwrap_or(0);
        if commits(Fault::OffByOneSlice) && !cast && !copy && items > 0 {
            layout.shape[0] -= 1;
        }
        let managed =
            if commits(Fault::SliceForgetsItsExport) { Arc::new(managed.uncounted()) } else { managed };
        Self::on(managed, layout)
    }

    /// As [`release`](Self::release), or nothing if that does not go wrong.
    #[cold]
    pub(super) fn release_stained(&self) -> Option<Result<(), Exported>> {
        let commits = |fault| self.0.count.commits(fault);
        let (early, twice) = (commits(Fault::ReleasedBeforeLetGo), commits(Fault::DoubleCleanUp));
        if !early && !twice && !commits(Fault::ViewReleasedWhileExported) {
            return None;
        }
        let Ok(provider) = self.provider() else { return Some(Ok(())) };
        let mut locked = self.0.count.lock();
        if locked.exports() != 0 {
            return Some(Err(Exported(locked.exports())));
        }
        if !early {
            locked.pause();
        }
        // SAFETY: the lock is held, so nobody else touches `managed`; the reference ends with the statement.
        let managed = unsafe { &mut *self.0.managed.unique() }.take();
        if managed.is_none() && twice {
            provider.release_once_more();
        }
        let managed = managed.filter(|_| early);
        self.0.released.store(true, Ordering::Release);
        drop(locked);
        drop(managed);
        Some(Ok(()))
    }
}

impl Inner {
    /// Gives up a share in the managed buffer.
    #[cold]
    pub(super) fn let_go_stained(&self, managed: Managed) {
        let shares = Arc::strong_count(&managed);
        if self.count.commits(Fault::ViewOutlivesExporter) && shares > 1 {
            managed.release_too_early();
        }
        // Between the two looks, another thread may have given up the other share.
        if self.count.commits(Fault::LastShareMiscounted)
            && self.count.exports() == 0
            && shares > 1
            && let Ok(export) = Arc::try_unwrap(managed)
        {
            export.forget();
        }
    }
}
