//! An object of a class with `__buffer__` and `__release_buffer__` (PEP 688), of which the body is what a class of Python
//! may do, well or badly.
//!
//! It owns no memory: it makes views of that of another object. A consumer holds what CPython calls a wrapper, which
//! keeps the view and the object until it is given back (`slot_bf_getbuffer` and `bufferwrapper_releasebuf` of
//! `Objects/typeobject.c`).
//!
//! ```text
//!   consumer ──> Lent ──> View ──> source          one Lent for each export (P2)
//!                  └────> Lender ──────┘
//! ```

use super::{Export, Layout, NotExported, Provider, View};
use crate::sync::{Arc, AtomicUsize, Mutex, MutexGuard, Ordering};

/// What the class does when it is asked for its buffer, and when that is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Body {
    /// It makes a view, and releases it when it is given back.
    Lends,
    /// It makes a view, and has no `__release_buffer__`.
    Silent,
    /// It makes a read-only view, and releases it.
    ReadOnly,
    /// It makes a view, keeps it, and does not release it.
    Keeps,
    /// It gives the same view each time, and does not release it.
    Reuses,
    /// It makes a view, and raises an error when that is given back, which nobody can catch.
    Complains,
    /// It gives a view that it has released.
    Released,
    /// It gives something else than a view (P1).
    Wrong,
    /// It raises an error of its own.
    Raises,
}

impl Body {
    /// Every body.
    pub const ALL: [Body; 9] = [
        Body::Lends,
        Body::Silent,
        Body::ReadOnly,
        Body::Keeps,
        Body::Reuses,
        Body::Complains,
        Body::Released,
        Body::Wrong,
        Body::Raises,
    ];

    /// As it is written in a program.
    pub const fn name(self) -> &'static str {
        match self {
            Body::Lends => "lends",
            Body::Silent => "silent",
            Body::ReadOnly => "readonly",
            Body::Keeps => "keeps",
            Body::Reuses => "reuses",
            Body::Complains => "complains",
            Body::Released => "released",
            Body::Wrong => "wrong",
            Body::Raises => "raises",
        }
    }

    /// Whether `__release_buffer__` releases the view.
    pub const fn releases(self) -> bool {
        matches!(self, Body::Lends | Body::ReadOnly)
    }
}

/// Such an object, as a handle to it.
#[derive(Debug, Clone)]
pub struct Lender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Provider,
    body: Body,
    outstanding: AtomicUsize,
    /// How many errors it raised that nobody could catch.
    heard: AtomicUsize,
    /// Views that it keeps; of one that reuses its view, that.
    kept: Mutex<Vec<View>>,
}

impl Lender {
    /// The name of the type in Python.
    pub const NAME: &'static str = "Lender";

    /// One that lends the memory of `source`.
    pub fn new(source: Provider, body: Body) -> Self {
        let (outstanding, heard) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { source, body, outstanding, heard, kept: Mutex::default() }))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<View>> {
        self.0.kept.lock()
    }

    fn view(&self) -> Result<View, NotExported> {
        match &self.0.source {
            Provider::View(view) => Ok(view.derive(view.layout()?.clone())?),
            other => Ok(View::new(other.export()?)),
        }
    }

    /// What `__buffer__` gives.
    fn lend(&self) -> Result<View, NotExported> {
        match self.0.body {
            Body::Wrong => Err(NotExported::NoBuffer),
            Body::Raises => Err(NotExported::Raised),
            Body::ReadOnly => {
                let view = self.view()?;
                let layout = Layout { readonly: true, ..view.layout()?.clone() };
                Ok(view.derive(layout)?)
            }
            Body::Reuses => {
                let mut kept = self.kept();
                if kept.is_empty() {
                    kept.push(self.view()?);
                }
                Ok(kept[0].clone())
            }
            Body::Keeps => {
                let view = self.view()?;
                self.kept().push(view.clone());
                Ok(view)
            }
            Body::Released => {
                let view = self.view()?;
                view.release().expect("nobody else has the view");
                Ok(view)
            }
            Body::Lends | Body::Silent | Body::Complains => self.view(),
        }
    }

    /// Acquires an export: that of the view that it makes (P1).
    ///
    /// # Errors
    /// Those of its source, and what its body comes to.
    pub fn export(&self) -> Result<Export, NotExported> {
        let view = self.lend()?;
        let export = view.export()?;
        self.0.outstanding.fetch_add(1, Ordering::Relaxed);
        let (raw, layout) = (export.raw(), export.layout().clone());
        let lent = Lent(Arc::new(Wrapper { lender: self.clone(), view, export: Mutex::new(Some(export)) }));
        // SAFETY: the block is that of the export in `lent`, which keeps it until its one release.
        Ok(unsafe { Export::from_raw(Provider::Lent(lent), raw, layout) })
    }

    /// How many exports were given out and not taken back.
    pub fn exports(&self) -> usize {
        self.0.outstanding.load(Ordering::Relaxed)
    }

    /// How many errors its `__release_buffer__` has raised: one for each export that was given back (P2), if it complains.
    pub fn heard(&self) -> usize {
        self.0.heard.load(Ordering::Relaxed)
    }

    /// Lets go of the views that it keeps.
    pub fn let_go(&self) {
        let kept = std::mem::take(&mut *self.kept());
        drop(kept);
    }

    /// Are these handles to the same object?
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The object whose memory it lends.
    pub fn source(&self) -> &Provider {
        &self.0.source
    }

    /// What its class does.
    pub fn body(&self) -> Body {
        self.0.body
    }
}

/// What a consumer of a [`Lender`] holds.
#[derive(Debug, Clone)]
pub struct Lent(Arc<Wrapper>);

#[derive(Debug)]
struct Wrapper {
    lender: Lender,
    view: View,
    /// `None` once it was given back.
    export: Mutex<Option<Export>>,
}

impl Lent {
    /// The name of the type in Python.
    pub const NAME: &'static str = "_buffer_wrapper";

    /// The view that was lent.
    pub fn view(&self) -> &View {
        &self.0.view
    }

    fn export(&self) -> MutexGuard<'_, Option<Export>> {
        self.0.export.lock()
    }

    pub(super) fn exports(&self) -> usize {
        usize::from(self.export().is_some())
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn is_stained(&self) -> bool {
        self.0.view.is_stained()
    }

    /// Gives the export of the view back, unless it was. The lender is not told.
    pub(super) fn take_back(&self) -> bool {
        let Some(export) = self.export().take() else { return false };
        drop(export);
        self.0.lender.0.outstanding.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Gives the export of the view back first, and then calls `__release_buffer__` (P2).
    pub(super) fn release_raw(&self) {
        if !self.take_back() {
            return;
        }
        let lender = &*self.0.lender.0;
        lender.heard.fetch_add(usize::from(lender.body == Body::Complains), Ordering::Relaxed);
        if lender.body.releases() {
            // A view that has other exports is not released, and the error is nobody's to see.
            let _ = self.0.view.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::ByteArray;

    fn lender(body: Body) -> (ByteArray, Lender) {
        let array = ByteArray::new(b"abcd".to_vec());
        (array.clone(), Lender::new(array.into(), body))
    }

    #[test]
    fn what_is_given_back_frees_the_source() {
        for body in [Body::Lends, Body::Silent, Body::ReadOnly, Body::Complains] {
            let (array, lender) = lender(body);
            let export = lender.export().unwrap();
            assert_eq!((array.exports(), lender.exports()), (1, 1));
            assert_eq!(export.readonly(), body == Body::ReadOnly);
            drop(export);
            assert_eq!((array.exports(), lender.exports()), (0, 0));
            assert_eq!(lender.heard(), usize::from(body == Body::Complains));
        }
    }

    #[test]
    fn what_is_kept_holds_the_source_until_it_goes() {
        for body in [Body::Keeps, Body::Reuses] {
            let (array, lender) = lender(body);
            drop(lender.export().unwrap());
            assert_eq!((array.exports(), lender.exports()), (1, 0));
            lender.let_go();
            assert_eq!(array.exports(), 0);
        }
    }

    #[test]
    fn a_body_that_gives_no_view_leaves_nothing_behind() {
        for (body, error) in [
            (Body::Wrong, NotExported::NoBuffer),
            (Body::Raises, NotExported::Raised),
            (Body::Released, NotExported::Released),
        ] {
            let (array, lender) = lender(body);
            assert_eq!(lender.export().err(), Some(error));
            assert_eq!((array.exports(), lender.exports()), (0, 0));
        }
    }

    #[test]
    fn a_lender_is_not_told_of_a_request_that_its_view_refuses() {
        let (array, lender) = lender(Body::Complains);
        lender.export().unwrap().retract();
        assert_eq!((array.exports(), lender.exports(), lender.heard()), (0, 0, 0));
    }

    #[test]
    fn an_export_outlives_the_handle_to_the_lender() {
        let (array, lender) = lender(Body::Lends);
        let export = lender.export().unwrap();
        drop(lender);
        let mut out = [0; 4];
        export.read(0, &mut out);
        assert_eq!((&out, array.exports()), (b"abcd", 1));
        assert_eq!(export.provider().export().err(), Some(NotExported::NoBuffer));
    }
}
