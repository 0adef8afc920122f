//! What the threads of a kernel do, and what they do it with.

use std::sync::atomic::{AtomicUsize as Counter, Ordering::Relaxed};

use loom::thread;

use crate::exporter::storage::{Block, Operation};
use crate::exporter::{ByteArray, Closing, Export, ExportCount, Exported, Mapping, Mmap, Provider, View};
use crate::sync::{Arc, Guarded};

/// What one thread does.
pub type Job = Box<dyn FnOnce() + Send>;

/// Does all of it at once, the last on the thread of the caller.
pub fn together<const N: usize>(jobs: [Job; N]) {
    let mut jobs: Vec<_> = jobs.into();
    let last = jobs.pop().expect("there are threads");
    let others: Vec<_> = jobs.into_iter().map(thread::spawn).collect();
    last();
    others.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Stands for the bytes of an object.
#[derive(Debug)]
pub struct Memory(Guarded<()>);

// SAFETY: there is nothing in it; loom looks at who uses it when.
unsafe impl Sync for Memory {}

impl Memory {
    fn new() -> Self {
        Self(Guarded::new(()))
    }

    /// Bytes are read or written where they are.
    fn is_used(&self) {
        self.0.shared();
    }

    /// Bytes are moved or freed.
    fn is_moved(&self) {
        self.0.unique();
    }
}

/// An exporter, its memory, and what every operation leaves: so many equal bytes that spell their number.
#[derive(Debug, Clone)]
pub struct Object {
    provider: Provider,
    memory: Arc<Memory>,
}

impl Object {
    pub fn new(exporter: impl Into<Provider>) -> Self {
        let object = Self { provider: exporter.into(), memory: Arc::new(Memory::new()) };
        assert!(object.resize().is_ok());
        object
    }

    /// A view of it, with the same memory.
    pub fn through(&self, view: &View) -> Self {
        Self { provider: view.clone().into(), ..self.clone() }
    }

    pub fn export(&self) -> Export {
        self.provider.export().expect("it is open")
    }

    /// One who acquires it, uses it and gives it back.
    fn consume(&self) {
        if let Ok(export) = self.provider.export() {
            self.use_it(&export);
        }
    }

    fn use_it(&self, export: &Export) {
        self.memory.is_used();
        let mut bytes = vec![0; export.block_len()];
        export.read(0, &mut bytes);
        self.check(&bytes);
    }

    fn check(&self, bytes: &[u8]) {
        let spelt = bytes.len() as u8;
        assert!(bytes.iter().all(|&byte| byte == spelt), "{bytes:?}");
    }

    /// Moves the memory, if nobody has an export; else leaves what is there.
    pub fn resize(&self) -> Result<(), Exported> {
        match &self.provider {
            Provider::ByteArray(array) => array.operate(|operation| {
                let before = operation.len();
                let done = self.resize_in(operation, |bytes| bytes.push(0));
                assert_eq!(operation.len(), before + usize::from(done.is_ok()));
                self.leave(operation);
                done
            }),
            Provider::Array(array) => array.operate(|operation| {
                let done = self.resize_in(operation, |_| ());
                let at = operation.len();
                let done = done.and_then(|()| operation.splice(at, 0, &[0]));
                self.leave(operation);
                done
            }),
            Provider::CArray(array) => array.operate(|operation| {
                self.leave(operation);
                Ok(())
            }),
            Provider::Stream(stream) => stream
                .operate(|operation| {
                    let done = self.resize_in(operation, |bytes| bytes.push(0));
                    self.leave(operation);
                    done
                })
                .unwrap_or(Ok(())),
            Provider::Mmap(map) => map
                .operate(|operation| {
                    let done = self.resize_in(operation, |_| ());
                    self.leave(operation);
                    done
                })
                .unwrap_or(Ok(())),
            other => unreachable!("{} has no operations here", other.name()),
        }
    }

    fn resize_in<M: Block>(
        &self,
        operation: &mut Operation<'_, M>,
        resize: impl FnOnce(&mut M),
    ) -> Result<(), Exported> {
        let block = operation.exclusive()?;
        self.memory.is_moved();
        resize(block);
        Ok(())
    }

    fn leave<M: Block>(&self, operation: &mut Operation<'_, M>) {
        if operation.exports() == 0 {
            let length = operation.len();
            operation.write(0, 1, &vec![length as u8; length]).expect("they are all there");
        }
    }

    /// Nobody has an export, and whoever asks may resize.
    pub fn is_at_rest(&self) {
        assert_eq!(self.provider.exports(), 0);
        let mut bytes = Vec::new();
        match &self.provider {
            Provider::ByteArray(array) => array.operate(|operation| operation.copy_to(&mut bytes)),
            Provider::Array(array) => array.operate(|operation| operation.copy_to(&mut bytes)),
            _ => {}
        }
        self.check(&bytes);
        assert_eq!(self.resize(), Ok(()));
    }
}

pub fn map() -> Mmap {
    Mmap::anonymous(8, Mapping { shared: true, readonly: false, fixed: false }).expect("a page can be mapped")
}

pub fn viewed() -> (Object, View) {
    let object = Object::new(ByteArray::new(vec![0; 8]));
    let view = View::new(object.export());
    (object, view)
}

pub fn consumes(object: &Object) -> Job {
    let own = object.clone();
    Box::new(move || own.consume())
}

pub fn resizes(object: &Object) -> Job {
    let own = object.clone();
    Box::new(move || {
        let _ = own.resize();
    })
}

pub fn gives_back(object: &Object, export: Export) -> Job {
    let own = object.clone();
    Box::new(move || {
        own.use_it(&export);
        drop(export);
    })
}

pub fn closes(object: &Object) -> Job {
    let own = object.clone();
    Box::new(move || match &own.provider {
        Provider::Mmap(map) => assert_eq!(map.close(Closing::Wait), Ok(())),
        Provider::Stream(stream) => {
            let _ = stream.close();
        }
        other => unreachable!("{} cannot be closed", other.name()),
    })
}

pub fn opens(object: &Object) -> Job {
    let own = object.clone();
    Box::new(move || match &own.provider {
        Provider::Stream(stream) => {
            let _ = stream.renew(vec![3; 3]);
        }
        other => unreachable!("{} cannot be opened", other.name()),
    })
}

/// Releases a view. When that returns, its exporter has one export less.
pub fn releases(object: &Object, view: &View) -> Job {
    let (own, view) = (object.clone(), view.clone());
    Box::new(move || {
        assert_eq!(view.release(), Ok(()));
        assert_eq!(own.provider.exports(), 0);
    })
}

/// Releases a view, unless it is exported.
pub fn tries(view: &View) -> Job {
    let view = view.clone();
    Box::new(move || {
        let _ = view.release();
    })
}

pub fn uses_and_releases(object: &Object, view: View) -> Job {
    let own = object.clone();
    Box::new(move || {
        own.memory.is_used();
        assert_ne!(own.provider.exports(), 0);
        assert_eq!(view.release(), Ok(()));
    })
}

/// A lock word with memory that whoever ends it frees.
pub struct Word {
    count: ExportCount,
    memory: Memory,
    ended: Counter,
}

impl Word {
    pub fn new(exports: usize) -> Arc<Self> {
        let count = ExportCount::new();
        (0..exports).for_each(|_| count.acquire().expect("it is open"));
        Arc::new(Self { count, memory: Memory::new(), ended: Counter::new(0) })
    }

    fn end_if(&self, is_end: bool) {
        if is_end {
            self.memory.is_moved();
            self.ended.fetch_add(1, Relaxed);
        }
    }

    pub fn was_ended_once(&self) {
        assert_eq!((self.ended.load(Relaxed), self.count.exports()), (1, 0));
    }
}

pub fn ends(word: &Arc<Word>) -> Job {
    let own = word.clone();
    Box::new(move || {
        own.memory.is_used();
        own.end_if(own.count.release("a kernel").is_end());
    })
}

pub fn lends(word: &Arc<Word>) -> Job {
    let own = word.clone();
    Box::new(move || {
        if own.count.acquire_with(|| own.memory.is_used()).is_ok() {
            own.end_if(own.count.release("a kernel").is_end());
        }
    })
}

pub fn operates(word: &Arc<Word>) -> Job {
    let own = word.clone();
    Box::new(move || {
        let locked = own.count.lock();
        if locked.is_closed() {
            return;
        }
        if locked.exports() == 0 {
            own.memory.is_moved();
        }
    })
}

pub fn shuts(word: &Arc<Word>) -> Job {
    let own = word.clone();
    Box::new(move || {
        let locked = own.count.lock();
        if !locked.is_closed() {
            own.memory.is_used();
        }
        own.end_if(locked.close());
    })
}
