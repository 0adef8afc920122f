//! The comparison of one observation, or of one state, with the model's.

use super::{Difference, Divergence};
use crate::history::{Nested, Outcome, Value};
use crate::program::{Float, Program, Step};
use crate::subject::{Subject, Trace};

/// Whether a subject saw what the model says. Two NaNs are the same observation, and a hash is that
/// of the same bytes where `hash_of` can tell that; that of an object is any int.
pub fn same_outcome(expected: &Outcome, found: &Outcome, hash_of: impl Fn(&[u8]) -> Option<i128>) -> bool {
    agree(expected, found, &|expected, found| match (expected, found) {
        (Value::Float(one), Value::Float(other)) => same_float(*one, *other),
        (Value::Complex(real, imaginary), Value::Complex(other, other_imaginary)) => {
            same_float(*real, *other) && same_float(*imaginary, *other_imaginary)
        }
        (Value::HashOf(bytes), Value::Int(hash)) => hash_of(bytes).is_none_or(|own| own == *hash),
        (Value::HashOfSlot(_), Value::Int(_)) => true,
        _ => expected == found,
    })
}

fn same_float(one: Float, other: Float) -> bool {
    one == other || (one.value().is_nan() && other.value().is_nan())
}

/// The same of bytes that raced: any will do, if there are as many as there should be.
pub fn same_but_bytes(expected: &Outcome, found: &Outcome) -> bool {
    agree(expected, found, &|expected, found| match (expected, found) {
        (Value::Bytes(one), Value::Bytes(other))
        | (Value::ByteArray(one), Value::ByteArray(other))
        | (Value::View(one), Value::View(other)) => one.len() == other.len(),
        (Value::Array(one, expected), Value::Array(other, found)) => {
            one == other && expected.len() == found.len()
        }
        (Value::Object(one), Value::Object(other)) => one == other,
        _ => std::mem::discriminant(expected) == std::mem::discriminant(found),
    })
}

/// Whether two outcomes are the same where values are if `same` says so of each that has no items.
fn agree(expected: &Outcome, found: &Outcome, same: &impl Fn(&Value, &Value) -> bool) -> bool {
    fn values(expected: &Value, found: &Value, same: &impl Fn(&Value, &Value) -> bool) -> bool {
        match (expected, found) {
            (Value::List(expected), Value::List(found)) | (Value::Tuple(expected), Value::Tuple(found)) => {
                expected.len() == found.len()
                    && expected.iter().zip(found).all(|(expected, found)| values(expected, found, same))
            }
            _ => same(expected, found),
        }
    }
    match (expected, found) {
        (Outcome::Value(expected), Outcome::Value(found)) => values(expected, found, same),
        _ => expected == found,
    }
}

/// Judges one step: what it saw first, then what it left.
pub fn after_step(
    trace: &Trace,
    subject: &mut dyn Subject,
    program: &Program,
    at: usize,
    (found, nested): (Outcome, &[Nested]),
) -> Option<Box<Divergence>> {
    let (expected, state) = (&trace.outcomes()[at], trace.after(at));
    let difference = if let Some(difference) = within_hooks(trace.nested(at), nested, &*subject) {
        difference
    } else if !same_outcome(expected, &found, |bytes| subject.hash_of(bytes)) {
        Difference::Outcome { expected: expected.clone(), found, message: subject.message() }
    } else if let Some(slot) = subject.different_slot(state) {
        Difference::State { slot, after: found, expected: state.picture(slot), found: subject.look(slot) }
    } else {
        return None;
    };
    Some(Box::new(Divergence::new(subject.name(), program, Some(at), difference).after(nested)))
}

/// The first thing that hooks saw otherwise.
fn within_hooks(expected: &[Nested], found: &[Nested], subject: &dyn Subject) -> Option<Difference> {
    let same = |expected: &Nested, found: &Nested| match (expected, found) {
        (Nested::Saw(at, expected), Nested::Saw(step, found)) if at == step => {
            same_outcome(expected, found, |bytes| subject.hash_of(bytes))
        }
        _ => expected == found,
    };
    let place = (0..expected.len().max(found.len())).find(|&place| {
        match (expected.get(place), found.get(place)) {
            (Some(expected), Some(found)) => !same(expected, found),
            _ => true,
        }
    })?;
    Some(Difference::Nested {
        place,
        expected: expected.get(place).cloned(),
        found: found.get(place).cloned(),
    })
}

/// Judges what the program itself says of a step.
pub fn expectation(
    program: &Program,
    at: usize,
    step: &Step,
    subject: &str,
    found: &Outcome,
) -> Option<Box<Divergence>> {
    let expected = step.expect.as_ref().filter(|expected| !found.satisfies(expected))?;
    let difference = Difference::Expectation { expected: expected.clone(), found: found.clone() };
    Some(Box::new(Divergence::new(subject, program, Some(at), difference)))
}
