//! Objects of classes with `__buffer__` and `__release_buffer__`: what they lend, and how it is given back.

use super::super::heap::NotLent;
use super::{Aside, Id, Kind, Model};
use crate::exporter::{Body, Layout};
use crate::history::ErrorClass;

impl Model {
    /// A new view of an object, which no slot holds: `memoryview(object)`.
    pub(super) fn view_on(&mut self, source: Id) -> Result<Id, NotLent> {
        let (managed, layout) = match self.kind(source) {
            Kind::View { released: true, .. } => return Err(NotLent::Released),
            Kind::View { managed, layout, .. } => {
                let (managed, layout) = (*managed, layout.clone());
                self.share(managed);
                (managed, layout)
            }
            _ => {
                let (owner, layout) = self.acquire(source)?;
                (self.add(Kind::Managed { owner, views: 1 }), layout)
            }
        };
        // No slot ever holds it, so that nobody asks for its number.
        let number = Aside(u32::MAX);
        Ok(self.add(Kind::View { managed, layout, released: false, exports: 0, number, hashed: None }))
    }

    /// One more view of a managed buffer.
    pub(super) fn share(&mut self, managed: Id) {
        let Kind::Managed { views, .. } = self.kind_mut(managed) else {
            unreachable!("views have managed buffers")
        };
        *views += 1;
        self.retain(managed);
    }

    /// How many bytes there are at most behind whatever lends some.
    pub(super) fn bytes_behind(&self, object: Id) -> usize {
        match self.kind(object) {
            Kind::Gone | Kind::Exporter { closed: true, .. } => 0,
            Kind::Exporter { bytes, .. } => bytes.len(),
            Kind::View { layout, .. } => layout.nbytes(),
            Kind::Managed { owner: behind, .. }
            | Kind::Lender { source: behind, .. }
            | Kind::Lent { view: behind, .. } => self.bytes_behind(*behind),
        }
    }

    /// `slot_bf_getbuffer`: `__buffer__` is called, and what it gives is exported.
    pub(super) fn ask(&mut self, lender: Id) -> Result<(Id, Layout), NotLent> {
        let &Kind::Lender { source, body, ref kept, .. } = self.kind(lender) else {
            unreachable!("a lender stays one")
        };
        let view = match (body, kept.first()) {
            (Body::Wrong, _) => return Err(NotLent::Raised(ErrorClass::TypeError)),
            (Body::Raises, _) => return Err(NotLent::Raised(ErrorClass::EOFError)),
            (Body::Reuses, Some(&view)) => {
                self.retain(view);
                view
            }
            _ => self.view_on(source)?,
        };
        match (body, self.kind_mut(view)) {
            (Body::ReadOnly, Kind::View { layout, .. }) => layout.readonly = true,
            (Body::Released, _) => self.let_go(view),
            _ => {}
        }
        let acquired = self.acquire(view);
        if let Kind::Lender { kept, outstanding, .. } = self.kind_mut(lender) {
            *outstanding += u16::from(acquired.is_ok());
            if body == Body::Keeps || body == Body::Reuses && kept.is_empty() {
                kept.push(view);
                self.retain(view);
            }
        }
        self.forget(view);
        let (view, layout) = acquired?;
        self.retain(lender);
        Ok((self.add(Kind::Lent { view, lender }), layout))
    }

    /// `bufferwrapper_releasebuf`: the view loses its export first, and then `__release_buffer__` is called.
    pub(super) fn give_back(&mut self, view: Id, lender: Id) {
        self.take_back(view, lender);
        if let Kind::Lender { heard, body, .. } = self.kind_mut(lender) {
            *heard += u16::from(*body == Body::Complains);
            if body.releases() {
                self.let_go(view);
            }
        }
        self.forget(view);
        self.forget(lender);
    }

    /// The export of a view that was lent is no more.
    pub(super) fn take_back(&mut self, view: Id, lender: Id) {
        if let Kind::View { exports, .. } = self.kind_mut(view) {
            *exports -= 1;
        }
        if let Kind::Lender { outstanding, .. } = self.kind_mut(lender) {
            *outstanding -= 1;
        }
    }
}
