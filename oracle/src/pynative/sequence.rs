//! What `ByteArray` and `Array` have in common: items that are read, written, inserted and removed.
//!
//! No Python code runs while an operation holds its object: a `__index__` that came back to the same object would wait
//! for itself for ever. So arguments are converted first, against the length at that moment, and the operation does
//! nothing if the length is another one when it begins: then they are converted again.

use buflock::exporter::{Block, Exported, Operation};
use pyo3::exceptions::{PyBufferError, PyIndexError, PyMemoryError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyMemoryView, PySlice};

/// Resizable items.
pub trait Sequence {
    /// Where they are.
    type Memory: Block;
    /// What is stored in an item is read before it is looked whether there is such an item.
    const VALUE_FIRST: bool;
    /// Exports forbid whatever gives a slice nothing, or another number of items, also if nothing would move by it.
    const STRICT: bool;
    /// More bytes than so many it is refused for want of memory, whether exports exist or not.
    const LONGEST: usize;
    /// Bytes per item.
    fn itemsize(&self) -> usize;
    /// Runs one operation.
    fn operate<R>(&self, f: impl FnOnce(&mut Operation<'_, Self::Memory>) -> R) -> R;
    /// Replaces `removed` bytes from `at` on, unless exports exist.
    fn splice(
        operation: &mut Operation<'_, Self::Memory>,
        at: usize,
        removed: usize,
        bytes: &[u8],
    ) -> Result<(), Exported>;
    /// The bytes of an item.
    fn encode(&self, value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>>;
    /// The item of some bytes.
    fn decode(&self, py: Python<'_>, item: &[u8]) -> PyResult<Py<PyAny>>;
    /// The bytes of all items that are assigned to a slice.
    fn encode_all(&self, values: &Bound<'_, PyAny>) -> PyResult<Vec<u8>>;
}

/// The error of a resize while exports exist (S1), in CPython's words.
pub fn exported(_: Exported) -> PyErr {
    PyBufferError::new_err("Existing exports of data: object cannot be re-sized")
}

/// Items that a key names, in order.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    start: usize,
    step: isize,
    count: usize,
}

impl Places {
    fn nth(self, i: usize) -> usize {
        self.start.wrapping_add_signed(self.step.wrapping_mul(i as isize))
    }

    /// Each of them.
    pub fn all(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.nth(i))
    }
}

/// What a key names.
pub enum Key {
    /// One item.
    Item(usize),
    /// Any number of them.
    Slice(Places),
}

/// What a key names among so many items.
///
/// # Errors
/// If it is no key, or one of an item that is not there.
pub fn resolve(key: &Bound<'_, PyAny>, length: usize) -> PyResult<Key> {
    if let Ok(slice) = key.cast::<PySlice>() {
        let indices = slice.indices(length as isize)?;
        let count = indices.slicelength;
        // A slice without items begins where items would be inserted.
        let start = indices.start.max(0) as usize;
        return Ok(Key::Slice(Places { start, step: indices.step, count }));
    }
    place(index(key)?, length).map(Key::Item)
}

/// An index, as `operator.index` has it.
fn index(key: &Bound<'_, PyAny>) -> PyResult<isize> {
    key.extract::<isize>().map_err(|error| {
        let py = key.py();
        if error.is_instance_of::<pyo3::exceptions::PyOverflowError>(py) {
            return PyIndexError::new_err("cannot fit the index into an index-sized integer");
        }
        error
    })
}

fn place(index: isize, length: usize) -> PyResult<usize> {
    let place = if index < 0 { index + length as isize } else { index };
    usize::try_from(place)
        .ok()
        .filter(|&place| place < length)
        .ok_or_else(|| PyIndexError::new_err("index out of range"))
}

/// The number of items.
pub fn length<S: Sequence>(own: &S) -> usize {
    own.operate(|operation| operation.len()) / own.itemsize()
}

/// All the bytes.
pub fn contents<S: Sequence>(own: &S) -> Vec<u8> {
    let mut bytes = Vec::new();
    own.operate(|operation| operation.copy_to(&mut bytes));
    bytes
}

/// Resolves a key and runs `f` on an object of the length that it was resolved for.
fn with_key<S: Sequence, R>(
    own: &S,
    key: &Bound<'_, PyAny>,
    mut f: impl FnMut(&mut Operation<'_, S::Memory>, &Key) -> PyResult<R>,
) -> PyResult<R> {
    loop {
        let length = length(own);
        let key = resolve(key, length)?;
        let size = own.itemsize();
        let done = own.operate(|operation| (operation.len() == length * size).then(|| f(operation, &key)));
        if let Some(done) = done {
            return done;
        }
    }
}

fn read<M: Block>(operation: &Operation<'_, M>, size: usize, place: usize, out: &mut Vec<u8>) {
    let before = out.len();
    out.resize(before + size, 0);
    operation.read(place * size, 1, &mut out[before..]).expect("the place was found to exist");
}

/// The bytes of the items that a key names, and whether it is a slice.
pub fn get<S: Sequence>(own: &S, key: &Bound<'_, PyAny>) -> PyResult<(Vec<u8>, bool)> {
    let size = own.itemsize();
    with_key(own, key, |operation, key| {
        let mut bytes = Vec::new();
        match key {
            Key::Item(place) => read(operation, size, *place, &mut bytes),
            Key::Slice(places) => places.all().for_each(|place| read(operation, size, place, &mut bytes)),
        }
        Ok((bytes, matches!(key, Key::Slice(_))))
    })
}

/// `object[key] = value`
pub fn set<S: Sequence>(own: &S, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let size = own.itemsize();
    if key.is_instance_of::<PySlice>() {
        resolve(key, length(own))?;
        let bytes = own.encode_all(value)?;
        return with_slice(own, key, |operation, places| assign::<S>(operation, places, size, &bytes));
    }
    let at = index(key)?;
    if !S::VALUE_FIRST {
        place(at, length(own))?;
    }
    let item = own.encode(value)?;
    own.operate(|operation| {
        let place = place(at, operation.len() / size)?;
        operation.write(place * size, 1, &item).expect("the place was found to exist");
        Ok(())
    })
}

/// `del object[key]`
pub fn delete<S: Sequence>(own: &S, key: &Bound<'_, PyAny>) -> PyResult<()> {
    let size = own.itemsize();
    if key.is_instance_of::<PySlice>() {
        return with_slice(own, key, |operation, places| assign::<S>(operation, places, size, &[]));
    }
    with_key(own, key, |operation, key| match *key {
        Key::Item(place) => S::splice(operation, place * size, size, &[]).map_err(exported),
        Key::Slice(_) => unreachable!("the key is no slice"),
    })
}

fn with_slice<S: Sequence>(
    own: &S,
    key: &Bound<'_, PyAny>,
    mut f: impl FnMut(&mut Operation<'_, S::Memory>, Places) -> PyResult<()>,
) -> PyResult<()> {
    with_key(own, key, |operation, key| match *key {
        Key::Slice(places) => f(operation, places),
        Key::Item(_) => unreachable!("the key is a slice"),
    })
}

/// Gives a slice these items; nothing takes it away.
fn assign<S: Sequence>(
    operation: &mut Operation<'_, S::Memory>,
    places: Places,
    size: usize,
    bytes: &[u8],
) -> PyResult<()> {
    let Places { start, step, count } = places;
    let replaces = bytes.len() == count * size;
    if replaces && (count > 0 || (step == 1 && !S::STRICT)) {
        for (place, item) in places.all().zip(bytes.chunks_exact(size)) {
            operation.write(place * size, 1, item).expect("the place was found to exist");
        }
        return Ok(());
    }
    if step == 1 {
        return S::splice(operation, start * size, count * size, bytes).map_err(exported);
    }
    // As `bytearray` and `array.array` have it, and `list` has not: an extended slice can be given nothing.
    if S::STRICT || bytes.is_empty() {
        S::splice(operation, 0, 0, &[]).map_err(exported)?;
    }
    if !bytes.is_empty() {
        let items = bytes.len() / size;
        let text = format!("attempt to assign {items} items to an extended slice of {count}");
        return Err(PyValueError::new_err(text));
    }
    take_away::<S>(operation, places, size)
}

/// Takes items away, `size` bytes each.
fn take_away<S: Sequence>(
    operation: &mut Operation<'_, S::Memory>,
    places: Places,
    size: usize,
) -> PyResult<()> {
    let mut gone = vec![false; operation.len() / size];
    places.all().for_each(|place| gone[place] = true);
    let mut left = Vec::new();
    let kept = gone.iter().enumerate().filter(|(_, gone)| !**gone);
    kept.for_each(|(place, _)| read(operation, size, place, &mut left));
    S::splice(operation, 0, operation.len(), &left).map_err(exported)
}

/// `object.append(value)` and `object.extend(values)`, of what is encoded.
pub fn append<S: Sequence>(own: &S, bytes: &[u8]) -> PyResult<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    own.operate(|operation| S::splice(operation, operation.len(), 0, bytes)).map_err(exported)
}

/// `object *= times`
pub fn repeat<S: Sequence>(own: &S, times: &Bound<'_, PyAny>) -> PyResult<()> {
    let times = times.extract::<isize>()?.max(0) as usize;
    own.operate(|operation| {
        let before = operation.len();
        let after = before.checked_mul(times).filter(|&after| after <= S::LONGEST);
        let after = after.ok_or_else(|| no_memory(usize::MAX))?;
        if after == before {
            return Ok(());
        }
        S::splice(operation, 0, 0, &[]).map_err(exported)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(after).map_err(|_| no_memory(after))?;
        while bytes.len() < after {
            operation.copy_to(&mut bytes);
        }
        S::splice(operation, 0, before, &bytes).map_err(exported)
    })
}

/// The error where there is no memory for so many bytes.
pub fn no_memory(length: usize) -> PyErr {
    PyMemoryError::new_err(format!("there is no memory for {length} bytes"))
}

/// `object.insert(index, value)`
pub fn insert<S: Sequence>(own: &S, at: isize, item: &[u8]) -> PyResult<()> {
    own.operate(|operation| {
        let length = (operation.len() / item.len()) as isize;
        let at = if at < 0 { (at + length).max(0) } else { at.min(length) };
        S::splice(operation, at as usize * item.len(), 0, item)
    })
    .map_err(exported)
}

/// `object.pop(index)`: what cannot be returned stays.
pub fn pop<S: Sequence>(own: &S, py: Python<'_>, at: isize) -> PyResult<Py<PyAny>> {
    let size = own.itemsize();
    loop {
        let mut item = Vec::new();
        let length = own.operate(|operation| {
            let length = operation.len() / size;
            if length == 0 {
                return Err(PyIndexError::new_err("pop from an empty object"));
            }
            read(operation, size, place(at, length)?, &mut item);
            Ok(length)
        })?;
        let value = own.decode(py, &item)?;
        let place = place(at, length)?;
        let done = own.operate(|operation| {
            let mut found = Vec::new();
            if operation.len() == length * size {
                read(operation, size, place, &mut found);
            }
            (found == item).then(|| S::splice(operation, place * size, size, &[]))
        });
        if let Some(done) = done {
            return done.map(|()| value).map_err(exported);
        }
    }
}

/// `object.remove(value)`, of what is encoded.
pub fn remove<S: Sequence>(own: &S, item: &[u8]) -> PyResult<()> {
    own.operate(|operation| {
        let mut own = Vec::new();
        let found = (0..operation.len() / item.len()).find(|&place| {
            own.clear();
            read(operation, item.len(), place, &mut own);
            own == item
        });
        let place = found.ok_or_else(|| PyValueError::new_err("there is no such item"))?;
        S::splice(operation, place * item.len(), item.len(), &[]).map_err(exported)
    })
}

/// `object.reverse()`: it moves nothing, so exports do not hinder it.
pub fn reverse<S: Sequence>(own: &S) {
    let size = own.itemsize();
    own.operate(|operation| {
        let (mut one, mut other) = (vec![0; size], vec![0; size]);
        let length = operation.len() / size;
        for low in 0..length / 2 {
            let (low, high) = (low * size, (length - 1 - low) * size);
            let both = operation.read(low, 1, &mut one).and(operation.read(high, 1, &mut other));
            let both = both.and(operation.write(low, 1, &other)).and(operation.write(high, 1, &one));
            both.expect("both places are within the length");
        }
    });
}

/// `list(object)`
pub fn list<S: Sequence>(own: &S, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
    contents(own).chunks_exact(own.itemsize()).map(|item| own.decode(py, item)).collect()
}

/// The bytes of anything that `bytes()` takes, but for a number.
pub fn bytes_of(source: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if source.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err("an int has neither a buffer nor items"));
    }
    let bytes = source.py().get_type::<PyBytes>().call1((source,))?;
    Ok(bytes.cast::<PyBytes>()?.as_bytes().to_vec())
}

/// The buffer of an object, of which an export is held until this is dropped, as a function in C holds one.
pub struct Held<'py> {
    bytes: Bound<'py, PyBytes>,
    /// Bytes per item, as the object says.
    pub itemsize: usize,
    _view: Bound<'py, PyMemoryView>,
}

/// Acquires it, as one block.
///
/// # Errors
/// If there is none, or it is not one block.
pub fn hold<'py>(source: &Bound<'py, PyAny>) -> PyResult<Held<'py>> {
    let view = PyMemoryView::from(source)?;
    if !view.getattr("c_contiguous")?.is_truthy()? {
        return Err(PyBufferError::new_err("the memory is not one block"));
    }
    let bytes = view.call_method0("tobytes")?.cast_into::<PyBytes>()?;
    Ok(Held { bytes, itemsize: view.getattr("itemsize")?.extract()?, _view: view })
}

impl Held<'_> {
    /// What it held when it was acquired.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}
