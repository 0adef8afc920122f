//! Hooks on CPython: objects of small classes whose methods do steps of the program.
//!
//! A method is called in the middle of an operation of the same subject. So that both can have it, the subject is left
//! where the method finds it while the operation runs, and taken out of there for as long as a step of the hook does.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use buflock::history::{Nested, Outcome};
use buflock::program::{Answer, Arg, Hook, Method, Protocol, Slot, Step};
use buflock::subject::errand;
use pyo3::exceptions::{PyIndexError, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::{CPython, Known, Object};
use crate::raw_buffer::{self as raw, Raised};

/// A step with hooks that is under way.
struct UnderWay {
    world: CPython,
    /// What happens by the model.
    expected: Vec<Nested>,
    /// What has happened.
    log: Vec<Nested>,
}

thread_local! {
    static UNDER_WAY: RefCell<Option<UnderWay>> = const { RefCell::new(None) };
}

/// Runs `f` on what is under way, if the subject is not at a step of a hook at this moment.
fn under_way<R>(f: impl FnOnce(&mut UnderWay) -> R) -> Option<R> {
    let mut step = UNDER_WAY.take()?;
    let result = f(&mut step);
    UNDER_WAY.set(Some(step));
    Some(result)
}

/// Runs a step with hooks, and tells what happened meanwhile.
pub(super) fn step(
    py: Python<'_>,
    world: &mut CPython,
    step: &Step,
    expected: &[Nested],
) -> (Outcome, Vec<Nested>) {
    let empty = CPython::of(Arc::clone(&world.known));
    let (expected, log) = (expected.to_vec(), Vec::new());
    UNDER_WAY.set(Some(UnderWay { world: std::mem::replace(world, empty), expected, log }));
    let outcome = operation(py, step);
    let after = UNDER_WAY.take().expect("a step leaves the subject where it was");
    *world = after.world;
    (outcome, after.log)
}

/// Runs a step with hooks of the subject that is under way.
fn operation(py: Python<'_>, step: &Step) -> Outcome {
    let there = "a step leaves the subject where it was";
    let (objects, known) = under_way(|under_way| {
        under_way.world.error = None;
        let objects = under_way.world.objects(py, step);
        let owned: Vec<Object> = objects.as_slice().iter().map(|object| object.clone_ref(py)).collect();
        (owned, Arc::clone(&under_way.world.known))
    })
    .expect(there);
    let performed = known.perform(py, step, &objects);
    under_way(|under_way| match performed {
        Ok(performed) => Outcome::Value(under_way.world.finish(py, step, performed)),
        Err(Raised) => under_way.world.raised(py),
    })
    .expect(there)
}

/// What a method of a hook calls, with the object first.
#[pyclass(frozen, module = "buflock")]
#[derive(Debug)]
struct Called {
    method: Method,
    known: Arc<Known>,
    /// How many items an iterator has given.
    given: AtomicUsize,
    /// The object of which it makes views.
    source: Option<Object>,
    /// Where the views are that its object has lent and was not given back.
    lent: Arc<Mutex<Vec<usize>>>,
    run: Run,
}

/// Runs a step of a hook.
pub(super) type Run = fn(Python<'_>, &Step);

#[pymethods]
impl Called {
    #[pyo3(signature = (*args))]
    fn __call__(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Object> {
        let Method { protocol, steps, answer } = &self.method;
        if *protocol == Protocol::ReleaseBuffer {
            self.take_back(&args.as_any().get_item(1)?)?;
        }
        under_way(|under_way| under_way.log.push(Nested::Called(*protocol)));
        for step in steps {
            (self.run)(py, step);
        }
        let item = |place: Option<usize>, arg: &Arg| {
            arg.parts().get(place?).map(|item| self.known.literal(py, item))
        };
        match (answer, protocol) {
            (Answer::Return(items), Protocol::Next) => {
                let given = self.given.fetch_add(1, Ordering::Relaxed);
                item(Some(given), items).ok_or_else(|| PyStopIteration::new_err(()))
            }
            (Answer::Return(items), Protocol::GetItem) => {
                let key = args.as_any().get_item(1)?.extract().unwrap_or(0);
                item(Some(key), items).ok_or_else(|| PyIndexError::new_err(()))
            }
            (Answer::Return(Arg::List(items)), _) => {
                let list = raw::empty_list(py);
                items.iter().for_each(|item| raw::append(py, &list, &self.known.literal(py, item)));
                Ok(list.bind(py).try_iter()?.into_any().unbind())
            }
            (Answer::Return(arg), _) => Ok(self.known.literal(py, arg)),
            (Answer::Raise(class), _) => {
                let class = self.known.classes[*class as usize].bind(py).cast::<PyType>()?;
                Err(PyErr::from_type(class.clone(), ()))
            }
            (Answer::Itself, _) => Ok(args.as_any().get_item(0)?.unbind()),
            (Answer::View(_), _) => {
                let source = self.source.as_ref().expect("the slots of a step are filled");
                let view = raw::memoryview(py, source).map_err(|Raised| PyErr::fetch(py))?;
                self.lent.lock().unwrap_or_else(PoisonError::into_inner).push(view.as_ptr() as usize);
                Ok(view)
            }
        }
    }
}

impl Called {
    /// What is given back was lent, and is given back once (clause P2). The error is one that the interpreter complains of.
    fn take_back(&self, view: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let place = lent.iter().position(|&own| own == view.as_ptr() as usize);
        let place = place.ok_or_else(|| PyRuntimeError::new_err("a view is given back that was not lent"))?;
        lent.remove(place);
        Ok(())
    }
}

/// Runs a step of a hook, on the thread that it names.
pub(super) fn run(py: Python<'_>, step: &Step) {
    let Some(thread) = step.thread else { return run_here(py, step) };
    let (moved, step) = (UNDER_WAY.take(), step.clone());
    UNDER_WAY.set(errand::on_thread(thread, move || {
        UNDER_WAY.set(moved);
        Python::attach(|py| run_here(py, &step));
        UNDER_WAY.take()
    }));
}

/// Runs a step of a hook. What the model left out, and what it did not come to, is not run.
fn run_here(py: Python<'_>, step: &Step) {
    enum Next {
        Skip(Outcome),
        Plain(Outcome),
        Hooked,
    }
    let next = under_way(|under_way| {
        Some(match (under_way.expected.get(under_way.log.len())?, step.has_hooks()) {
            (Nested::Saw(_, skipped @ Outcome::Skipped(_)), _) => Next::Skip(skipped.clone()),
            (_, true) => Next::Hooked,
            (Nested::Saw(..), false) => Next::Plain(under_way.world.run(py, step)),
            (Nested::Called(_), false) => return None,
        })
    });
    let outcome = match next.flatten() {
        None => return,
        Some(Next::Skip(outcome) | Next::Plain(outcome)) => outcome,
        Some(Next::Hooked) => operation(py, step),
    };
    under_way(|under_way| under_way.log.push(Nested::Saw(Box::new(step.clone()), outcome)));
}

/// A class with these methods, which is made when it is first asked for.
fn class(py: Python<'_>, known: &Known, hook: &Hook) -> Object {
    let protocols: Vec<Protocol> = hook.methods.iter().map(|method| method.protocol).collect();
    let mut classes = known.hooks.lock().unwrap_or_else(PoisonError::into_inner);
    let place = classes.iter().position(|(own, _)| *own == protocols).unwrap_or_else(|| {
        let class = new_class(py, hook);
        classes.push((protocols, class));
        classes.len() - 1
    });
    classes[place].1.clone_ref(py)
}

fn new_class(py: Python<'_>, hook: &Hook) -> Object {
    let mut code = "class Hook:\n    def __init__(self, *runs):\n        self.runs = runs\n".to_owned();
    if hook.has(Protocol::Next) && !hook.has(Protocol::Iter) {
        code.push_str("    def __iter__(self):\n        return self\n");
    }
    for (place, method) in hook.methods.iter().enumerate() {
        let (name, parameters) = (method.protocol.method(), method.protocol.parameters());
        let run = format!("self.runs[{place}](self{parameters})");
        let answer = if method.protocol == Protocol::Bool { format!("bool({run})") } else { run };
        code.push_str(&format!("    def {name}(self{parameters}):\n        return {answer}\n"));
    }
    let code = std::ffi::CString::new(code).expect("no method contains a zero");
    let globals = PyDict::new(py);
    let class = py.run(&code, Some(&globals), None).and_then(|()| globals.as_any().get_item("Hook"));
    class.expect("failed to define a class").unbind()
}

/// An object that is this hook, of a program whose slots hold what `held` tells, and whose steps `run` does.
pub(super) fn object(
    py: Python<'_>,
    known: &Arc<Known>,
    hook: &Hook,
    held: impl Fn(Slot) -> Object,
    run: Run,
) -> Object {
    let lent = Arc::default();
    let called = |method: &Method| {
        let source = match method.answer {
            Answer::View(slot) => Some(held(slot)),
            _ => None,
        };
        let (method, known, given) = (method.clone(), Arc::clone(known), AtomicUsize::new(0));
        let called = Called { method, known, given, source, lent: Arc::clone(&lent), run };
        Bound::new(py, called).expect("failed to make an object").into_any().unbind()
    };
    let called: Vec<Object> = hook.methods.iter().map(called).collect();
    let class = class(py, known, hook);
    raw::call(py, &class, &called).unwrap_or_else(|Raised| panic!("failed to make an object of a hook"))
}
