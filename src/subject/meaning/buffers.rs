//! The buffers that operations acquire: how each is asked for, and that it is given back whatever comes of it (clauses R1,
//! R3, P2). `PyObject_GetBuffer` and `PyBuffer_Release`, and `slot_bf_getbuffer` and `bufferwrapper_releasebuf` of
//! `Objects/typeobject.c`.

use super::super::heap::{Buffer, Flavour, Heap, NotLent};
use super::{Result, Stop, hooks, requests};
use crate::exporter::Layout;
use crate::history::{ErrorClass, Skip};
use crate::program::{Arg, Hook, Protocol, Slot, SlotKind};

/// What a consumer asks of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// `PyBUF_SIMPLE`: one block of bytes.
    Simple,
    /// `PyBUF_FULL_RO`: anything goes.
    Full,
}

/// Why an argument gives no buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoBuffer {
    /// It is not an exporter: `TypeError`.
    NotAnExporter,
    /// It is a released view or export: `ValueError`.
    Released,
    /// It is not contiguous: `BufferError`.
    NotContiguous,
    /// A `__buffer__` raised this.
    Raised(ErrorClass),
    /// The step is left out.
    Skipped(Skip),
}

impl NoBuffer {
    /// What comes of it where any error is replaced.
    pub(super) fn replaced_by(self, class: ErrorClass) -> Stop {
        match self {
            NoBuffer::Skipped(skip) => Stop::Skip(skip),
            _ => class.into(),
        }
    }
}

impl From<Stop> for NoBuffer {
    fn from(stop: Stop) -> NoBuffer {
        match stop {
            Stop::Raise(class) => NoBuffer::Raised(class),
            Stop::Skip(skip) => NoBuffer::Skipped(skip),
        }
    }
}

impl From<NotLent> for NoBuffer {
    fn from(reason: NotLent) -> NoBuffer {
        match reason {
            NotLent::Released => NoBuffer::Released,
            NotLent::Refused => NoBuffer::NotContiguous,
            NotLent::Raised(class) => NoBuffer::Raised(class),
        }
    }
}

impl From<NoBuffer> for Stop {
    fn from(reason: NoBuffer) -> Stop {
        Stop::Raise(match reason {
            NoBuffer::NotAnExporter => ErrorClass::TypeError,
            NoBuffer::Released => ErrorClass::ValueError,
            NoBuffer::NotContiguous => ErrorClass::BufferError,
            NoBuffer::Raised(class) => class,
            NoBuffer::Skipped(skip) => return Stop::Skip(skip),
        })
    }
}

/// Whether an argument has a buffer at all: `PyObject_CheckBuffer`.
pub(super) fn is_exporter<H: Heap>(heap: &H, arg: &Arg) -> bool {
    match arg {
        Arg::Bytes(_) => true,
        Arg::Slot(slot) => match slot.kind {
            SlotKind::Exporter => !matches!(heap.flavour(*slot), Flavour::Stream | Flavour::Text(_)),
            SlotKind::Export => requests::has_buffer(heap, *slot),
            _ => true,
        },
        Arg::Hook(hook) => hook.has(Protocol::Buffer) && heap.version().since(12),
        _ => false,
    }
}

/// A buffer that is held: of a `bytes` of the program, of an object, or of a view that a hook has lent.
pub(super) enum Acquired<'a, H: Heap> {
    Bytes(&'a [u8]),
    Held(H::Hold),
    Lent(H::Hold, H::Lent, &'a Hook),
}

impl<'a, H: Heap> Acquired<'a, H> {
    /// `PyObject_GetBuffer`. What does not fit is refused.
    pub(super) fn acquire(
        heap: &mut H,
        arg: &'a Arg,
        fits: impl Fn(&Layout) -> bool,
    ) -> std::result::Result<Acquired<'a, H>, NoBuffer> {
        let acquired = match arg {
            Arg::Bytes(bytes) if fits(&Layout::bytes(bytes.len(), true)) => Acquired::Bytes(bytes),
            Arg::Bytes(_) => return Err(NoBuffer::NotContiguous),
            Arg::Slot(slot) if is_exporter(heap, arg) => Acquired::Held(heap.hold(*slot)?),
            Arg::Hook(hook) if is_exporter(heap, arg) => {
                let lent = hooks::lend(heap, hook)?;
                match heap.hold_lent(&lent) {
                    Ok(hold) => Acquired::Lent(hold, lent, hook),
                    Err(reason) => {
                        heap.drop_lent(lent);
                        return Err(reason.into());
                    }
                }
            }
            _ => return Err(NoBuffer::NotAnExporter),
        };
        if acquired.hold().is_some_and(|hold| !fits(heap.held_layout(hold))) {
            acquired.retract(heap);
            return Err(NoBuffer::NotContiguous);
        }
        Ok(acquired)
    }

    /// What the object holds, unless it is a `bytes` of the program.
    pub(super) fn hold(&self) -> Option<&H::Hold> {
        match self {
            Acquired::Bytes(_) => None,
            Acquired::Held(hold) | Acquired::Lent(hold, ..) => Some(hold),
        }
    }

    pub(super) fn layout(&self, heap: &H) -> Layout {
        match self {
            Acquired::Bytes(bytes) => Layout::bytes(bytes.len(), true),
            Acquired::Held(hold) | Acquired::Lent(hold, ..) => heap.held_layout(hold).clone(),
        }
    }

    /// Its contents at this moment, in C order.
    pub(super) fn contents(&self, heap: &H) -> Buffer {
        match self {
            Acquired::Bytes(bytes) => Buffer::from_slice(bytes),
            Acquired::Held(hold) | Acquired::Lent(hold, ..) => heap.held_contents(hold),
        }
    }

    /// Takes it back as if it had never been, as [`Heap::retract`] does.
    pub(super) fn retract(self, heap: &mut H) {
        match self {
            Acquired::Bytes(_) => {}
            Acquired::Held(hold) => heap.retract(hold),
            Acquired::Lent(hold, lent, _) => {
                heap.retract(hold);
                heap.drop_lent(lent);
            }
        }
    }

    /// `PyBuffer_Release`: the view that was lent loses its export before its `__release_buffer__` is called.
    pub(super) fn give_back(self, heap: &mut H, failed: bool) -> Result<()> {
        match self {
            Acquired::Bytes(_) => Ok(()),
            Acquired::Held(hold) => {
                heap.unhold(hold, failed);
                Ok(())
            }
            Acquired::Lent(hold, lent, hook) => {
                heap.unhold(hold, failed);
                let told = match hook.method(Protocol::ReleaseBuffer) {
                    Some(method) => hooks::call(heap, method).map(drop),
                    None => Ok(()),
                };
                heap.drop_lent(lent);
                told
            }
        }
    }

    /// The same at the end of an operation, of which it gives the result. One that is left out has never held it.
    pub(super) fn end<R>(self, heap: &mut H, result: Result<R>) -> Result<R> {
        if let Err(Stop::Skip(_)) = result {
            self.retract(heap);
            return result;
        }
        self.give_back(heap, result.is_err())?;
        result
    }
}

/// Acquires the buffer of an argument, runs `f` on its layout and its contents in C order, and
/// releases it, whatever comes of it (clauses R1, R3). While `f` runs, the export exists.
pub(super) fn with_buffer<H: Heap, R>(
    heap: &mut H,
    arg: &Arg,
    request: Request,
    f: impl FnOnce(&mut H, &Layout, &[u8]) -> Result<R>,
) -> std::result::Result<Result<R>, NoBuffer> {
    with_buffer_after(heap, arg, request, |_| Ok(()), |heap, layout, bytes, ()| f(heap, layout, bytes))
}

/// The same, where `convert` runs while the buffer is held: the contents are those from after.
pub(super) fn with_buffer_after<H: Heap, R, T>(
    heap: &mut H,
    arg: &Arg,
    request: Request,
    convert: impl FnOnce(&mut H) -> Result<T>,
    f: impl FnOnce(&mut H, &Layout, &[u8], T) -> Result<R>,
) -> std::result::Result<Result<R>, NoBuffer> {
    let fits = |layout: &Layout| request == Request::Full || layout.is_c_contiguous();
    let block = Acquired::acquire(heap, arg, fits)?;
    let layout = block.layout(heap);
    let result = convert(heap).and_then(|converted| match block {
        Acquired::Bytes(bytes) => f(heap, &layout, bytes, converted),
        _ => {
            let contents = block.contents(heap);
            f(heap, &layout, &contents, converted)
        }
    });
    Ok(block.end(heap, result))
}

/// As [`with_buffer`] for one block of bytes, with the errors of `PyObject_GetBuffer`.
pub(super) fn with_bytes<H: Heap, R>(
    heap: &mut H,
    arg: &Arg,
    f: impl FnOnce(&mut H, &[u8]) -> Result<R>,
) -> Result<R> {
    with_buffer(heap, arg, Request::Simple, |heap, _, bytes| f(heap, bytes))?
}

/// As [`with_bytes`], where other arguments are converted while the buffer is held.
pub(super) fn with_bytes_after<H: Heap, R, T>(
    heap: &mut H,
    arg: &Arg,
    convert: impl FnOnce(&mut H) -> Result<T>,
    f: impl FnOnce(&mut H, &[u8], T) -> Result<R>,
) -> Result<R> {
    with_buffer_after(heap, arg, Request::Simple, convert, |heap, _, bytes, converted| {
        f(heap, bytes, converted)
    })?
}

/// `w*` of `PyArg_Parse`: one block that can be written; whatever is wrong with it is a `TypeError`.
pub(super) fn with_writable<H: Heap>(
    heap: &mut H,
    arg: &Arg,
    f: impl FnOnce(&mut H, &H::Hold, &Layout) -> Result,
) -> Result {
    let fits = |layout: &Layout| !layout.readonly && layout.is_c_contiguous();
    let block =
        Acquired::acquire(heap, arg, fits).map_err(|reason| reason.replaced_by(ErrorClass::TypeError))?;
    let layout = block.layout(heap);
    let result = match block.hold() {
        Some(hold) => f(heap, hold, &layout),
        None => unreachable!("a bytes is read-only"),
    };
    block.end(heap, result)
}

/// The contents of an argument at this moment, as one block of bytes.
pub(super) fn bytes_of<H: Heap>(heap: &mut H, arg: &Arg) -> Result<Buffer> {
    with_bytes(heap, arg, |_, bytes| Ok(Buffer::from_slice(bytes)))
}

/// Runs `f` while an object is exported.
pub(super) fn exported<H: Heap, R>(
    heap: &mut H,
    slot: Slot,
    f: impl FnOnce(&mut H) -> Result<R>,
) -> Result<R> {
    let hold = heap.hold(slot)?;
    let result = f(heap);
    heap.unhold(hold, result.is_err());
    result
}
