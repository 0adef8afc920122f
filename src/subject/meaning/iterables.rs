//! What Python asks of an iterable: `PyObject_GetIter`, `PyIter_Next`, `PyObject_LengthHint`, `PyObject_Size` and
//! `PySequence_GetItem` of `Objects/abstract.c`, the slots of classes in `Objects/typeobject.c`, and the iterator of sequences in
//! `Objects/iterobject.c`.
//!
//! Only a hook sees that it is asked: of lists and the like, lengths are known and right.

use super::super::heap::Heap;
use super::hooks::call;
use super::make::is_too_long;
use super::{Result, Stop, TOO_LONG};
use crate::history::ErrorClass;
use crate::program::{Answer, Arg, Hook, Method, Protocol, limits};

/// Whether an argument is asked for an iterator here, and no object that has memory.
pub fn is_iterable(arg: &Arg) -> bool {
    matches!(arg, Arg::List(_) | Arg::Tuple(_) | Arg::Hook(_))
}

/// An iterator, before it has given anything.
#[derive(Debug, Clone, Copy)]
pub enum Items<'a> {
    /// Over a list or a tuple.
    Listed(&'a [Arg]),
    /// A hook with `__next__`.
    Iterator(&'a Hook),
    /// Over a hook with `__getitem__`, which is asked for one index after the other.
    Sequence(&'a Hook),
}

/// `PyObject_GetIter`
pub fn iterate<'a, H: Heap>(heap: &mut H, arg: &'a Arg) -> Result<Items<'a>> {
    match arg {
        Arg::Hook(hook) => of_hook(heap, hook),
        other => Ok(Items::Listed(other.parts())),
    }
}

fn of_hook<'a, H: Heap>(heap: &mut H, hook: &'a Hook) -> Result<Items<'a>> {
    if let Some(method) = hook.method(Protocol::Iter) {
        return match (call(heap, method)?, &method.answer) {
            (Arg::List(items), _) => Ok(Items::Listed(items)),
            (_, Answer::Itself) if hook.has(Protocol::Next) => Ok(Items::Iterator(hook)),
            _ => Err(ErrorClass::TypeError.into()),
        };
    }
    if hook.has(Protocol::Next) {
        Ok(Items::Iterator(hook))
    } else if hook.has(Protocol::GetItem) {
        Ok(Items::Sequence(hook))
    } else {
        Err(ErrorClass::TypeError.into())
    }
}

impl<'a> Items<'a> {
    /// `PyObject_GetIter` of the iterator.
    pub fn again<H: Heap>(self, heap: &mut H) -> Result<Items<'a>> {
        match self {
            Items::Iterator(hook) => of_hook(heap, hook),
            other => Ok(other),
        }
    }

    /// `PyObject_LengthHint` of the iterator.
    fn hint<H: Heap>(self, heap: &mut H, usual: usize) -> Result<usize> {
        match self {
            Items::Listed(items) => Ok(items.len()),
            Items::Iterator(hook) => hint_of(heap, hook, usual),
            // `iter_len`
            Items::Sequence(hook) => match hook.method(Protocol::Length) {
                Some(method) => Ok(unless_type_error(length(heap, method))?.unwrap_or(usual)),
                None => Ok(usual),
            },
        }
    }

    /// Makes a list of it, `PySequence_List`, of which each item is given to `f`.
    pub fn list<H: Heap>(self, heap: &mut H, mut f: impl FnMut(&Arg)) -> Result<()> {
        let own = self.again(heap)?;
        let hint = self.hint(heap, 8)?;
        check_room(hint, usize::MAX)?;
        own.each(heap, |_, _, item| {
            f(item);
            Ok(())
        })
    }

    /// Runs `f` on each of them when it is its turn.
    pub fn each<H: Heap>(
        self,
        heap: &mut H,
        mut f: impl FnMut(&mut H, usize, &Arg) -> Result<()>,
    ) -> Result<()> {
        let (hook, protocol) = match self {
            Items::Listed(items) => {
                return items.iter().enumerate().try_for_each(|(place, item)| f(heap, place, item));
            }
            Items::Iterator(hook) => (hook, Protocol::Next),
            Items::Sequence(hook) => (hook, Protocol::GetItem),
        };
        let method = hook.method(protocol).expect("it was asked for its iterator");
        let mut given = 0;
        while let Some(item) = next(heap, method, given)? {
            f(heap, given, item)?;
            given += 1;
        }
        Ok(())
    }
}

/// The item number `given`, or none at the end, which is also what some errors mean.
fn next<'a, H: Heap>(heap: &mut H, method: &'a Method, given: usize) -> Result<Option<&'a Arg>> {
    match call(heap, method) {
        Ok(items) => Ok(items.parts().get(given)),
        Err(Stop::Raise(ErrorClass::StopIteration)) => Ok(None),
        Err(Stop::Raise(ErrorClass::IndexError)) if method.protocol == Protocol::GetItem => Ok(None),
        Err(stop) => Err(stop),
    }
}

/// `PySequence_GetItem` of a hook.
pub fn item<'a, H: Heap>(heap: &mut H, hook: &'a Hook, place: usize) -> Result<&'a Arg> {
    let method = hook.method(Protocol::GetItem).ok_or(ErrorClass::TypeError)?;
    call(heap, method)?.parts().get(place).ok_or(ErrorClass::IndexError.into())
}

/// `slot_sq_length`
pub fn length<H: Heap>(heap: &mut H, method: &Method) -> Result<usize> {
    let Arg::Int(int) = call(heap, method)? else { return Err(ErrorClass::TypeError.into()) };
    match int.value() {
        ..0 => Err(ErrorClass::ValueError.into()),
        value => {
            isize::try_from(value).map(|value| value as usize).map_err(|_| ErrorClass::OverflowError.into())
        }
    }
}

/// `PyObject_LengthHint` of what an iterator was got from; `usual` of what does not say.
pub fn hint<H: Heap>(heap: &mut H, arg: &Arg, usual: usize) -> Result<usize> {
    match arg {
        Arg::Hook(hook) => hint_of(heap, hook, usual),
        _ => Ok(usual),
    }
}

fn hint_of<H: Heap>(heap: &mut H, hook: &Hook, usual: usize) -> Result<usize> {
    if let Some(method) = hook.method(Protocol::Length)
        && let Some(length) = unless_type_error(length(heap, method))?
    {
        return Ok(length);
    }
    let Some(method) = hook.method(Protocol::LengthHint) else { return Ok(usual) };
    let Some(answer) = unless_type_error(call(heap, method))? else { return Ok(usual) };
    let Arg::Int(int) = answer else { return Err(ErrorClass::TypeError.into()) };
    let hint = isize::try_from(int.value()).map_err(|_| ErrorClass::OverflowError)?;
    usize::try_from(hint).map_err(|_| ErrorClass::ValueError.into())
}

/// None where a `TypeError` was raised.
fn unless_type_error<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Stop::Raise(ErrorClass::TypeError)) => Ok(None),
        Err(stop) => Err(stop),
    }
}

/// Whether there is room for as many items as are hinted at, which is made before the first is read. More than `most` are
/// refused with an error of their own.
pub fn check_room(hint: usize, most: usize) -> Result<()> {
    match hint {
        _ if is_too_long(hint as i128) => Err(TOO_LONG),
        _ if hint > most => Err(ErrorClass::OverflowError.into()),
        _ if hint > limits::LENGTH => Err(ErrorClass::MemoryError.into()),
        _ => Ok(()),
    }
}
