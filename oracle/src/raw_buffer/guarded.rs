//! An allocator for Python that gives each block pages of its own, with a page behind it that cannot be touched.
//!
//! ```text
//!   pages of the block                guard
//! | unused    | block      | rest |  no access  |
//! ^ first     ^ address
//! ```
//! A block ends where its last page does, but for what its alignment leaves over; that rest holds a pattern, which is
//! looked at when the block is freed. A freed block loses its pages: whoever touches it ends by SIGSEGV. Addresses are
//! given out in a circle so large that it is long before one is used again.
//!
//! It is what electric fences do for `malloc`, in the domains of `PyMem_SetAllocator` where objects and contents lie.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::Python;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

use super::domains::{Allocator, DOMAINS, Functions};

/// The addresses that are reserved, in bytes. They cost no memory.
const RESERVED: usize = 1 << 36;
/// Larger blocks are left to the allocator from before.
const LARGEST: usize = 1 << 28;
/// What Python expects of an address.
const ALIGNMENT: usize = 16;
/// What memory holds that nobody has written, as in CPython's debugging allocator.
const FRESH: u8 = 0xCD;
/// What the rest behind a block holds.
const BEHIND: u8 = 0xFD;

/// The allocator, which gets as its context the place of its domain.
const FUNCTIONS: Functions = Functions { malloc, calloc, realloc, free };

static GUARDED: OnceLock<Guarded> = OnceLock::new();

struct Guarded {
    arena: Mutex<Arena>,
    /// Those of the domains from before: they free what they gave, and give what cannot be had here.
    before: [Allocator; DOMAINS.len()],
}

/// Gives Python this allocator, once. Not to a Python without the GIL, which knows its objects by where they lie.
///
/// # Errors
/// If the addresses cannot be had.
pub fn install(py: Python<'_>) -> io::Result<()> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: it is a new map, of which no address is used by anyone else.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), RESERVED, ProtFlags::empty(), flags) }?;
    let arena = Arena {
        start: start as usize,
        page: rustix::param::page_size(),
        next: start as usize,
        live: BTreeMap::new(),
    };
    let before = DOMAINS.map(|domain| Allocator::of(py, domain));
    assert!(GUARDED.set(Guarded { arena: Mutex::new(arena), before }).is_ok(), "it is installed once");
    for (place, domain) in DOMAINS.into_iter().enumerate() {
        let own = Allocator::new(place as *mut c_void, &FUNCTIONS);
        // SAFETY: what the allocator from before gave goes back to it.
        unsafe { own.install(py, domain) };
    }
    Ok(())
}

/// The blocks that live of this allocator; `None` if it is not installed.
pub fn blocks(_: Python<'_>) -> Option<usize> {
    let guarded = GUARDED.get()?;
    Some(guarded.arena.lock().unwrap_or_else(PoisonError::into_inner).live.len())
}

/// The pages, and who has which.
struct Arena {
    /// The first address of all.
    start: usize,
    /// The bytes of a page.
    page: usize,
    /// Where the circle goes on.
    next: usize,
    /// The blocks that live: by the address of its first page, the bytes that were asked for.
    live: BTreeMap<usize, usize>,
}

impl Arena {
    fn end(&self) -> usize {
        self.start + RESERVED
    }

    /// The bytes of the pages of a block, without its guard.
    fn pages(&self, size: usize) -> usize {
        size.max(1).next_multiple_of(self.page)
    }

    /// The address of a block of `size` bytes whose pages begin at `first`.
    fn address(&self, first: usize, size: usize) -> usize {
        first + self.pages(size) - size.max(1).next_multiple_of(ALIGNMENT)
    }

    /// The first page of the block at `address`, and its size. `None` if it is no block of this allocator.
    fn find(&self, address: usize) -> Option<(usize, usize)> {
        // A block begins in its first page.
        let first = address & !(self.page - 1);
        self.live.get(&first).map(|&size| (first, size))
    }

    /// Pages that nobody has, with a guard behind them.
    fn vacant(&mut self, length: usize) -> Option<usize> {
        let mut turns = 0;
        loop {
            if self.next + length > self.end() {
                turns += 1;
                self.next = self.start;
            }
            let taken =
                self.live.range(..self.next + length).next_back().map(|(first, size)| (*first, *size));
            let behind = taken.map_or(0, |(first, size)| first + self.pages(size) + self.page);
            if behind <= self.next {
                return Some(self.next);
            }
            if turns > 1 {
                return None;
            }
            self.next = behind;
        }
    }

    /// A new block, filled with what nobody has written.
    fn allocate(&mut self, size: usize) -> Option<usize> {
        if size > LARGEST {
            return None;
        }
        let pages = self.pages(size);
        let first = self.vacant(pages + self.page)?;
        let access = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: nobody has these pages, which lie in the map. It fails where a process has as many maps as it may have.
        unsafe { mprotect(first as *mut c_void, pages, access) }.ok()?;
        self.next = first + pages + self.page;
        self.live.insert(first, size);
        let address = self.address(first, size);
        // SAFETY: these are the bytes from the block to the end of its pages, to which there is access.
        unsafe {
            ptr::write_bytes(address as *mut u8, FRESH, size);
            ptr::write_bytes((address + size) as *mut u8, BEHIND, first + pages - address - size);
        }
        Some(address)
    }

    /// Takes the pages of a block away. `false` if it is no block of this allocator.
    ///
    /// # Aborts
    /// If something has written behind the block: nothing can be said of the process from there on.
    fn free(&mut self, address: usize) -> bool {
        let Some((first, size)) = self.find(address) else { return false };
        let pages = self.pages(size);
        // SAFETY: these are bytes of pages to which there is access until they are taken away below.
        let rest = unsafe {
            std::slice::from_raw_parts((address + size) as *const u8, first + pages - address - size)
        };
        if rest.iter().any(|&byte| byte != BEHIND) {
            eprintln!("buflock: a write behind the end of a block of {size} bytes");
            std::process::abort();
        }
        self.live.remove(&first);
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED;
        // SAFETY: the block is given back, and these are its pages, which are mapped anew without access.
        let taken = unsafe { mmap_anonymous(first as *mut c_void, pages, ProtFlags::empty(), flags) };
        if taken.is_err() {
            // SAFETY: as above. What cannot be taken away is at least not to be read for what it was.
            unsafe { ptr::write_bytes(first as *mut u8, FRESH, pages) };
        }
        true
    }
}

/// Runs `f` on the pages; then the allocator from before has its turn, if `f` has none.
fn guarded<R>(
    context: *mut c_void,
    f: impl FnOnce(&mut Arena) -> Option<R>,
    before: impl FnOnce(&Allocator) -> R,
) -> R {
    let guarded = GUARDED.get().expect("an allocator is called that was installed");
    let done = f(&mut guarded.arena.lock().unwrap_or_else(PoisonError::into_inner));
    done.unwrap_or_else(|| before(&guarded.before[context as usize]))
}

extern "C" fn malloc(context: *mut c_void, size: usize) -> *mut c_void {
    let own = |arena: &mut Arena| arena.allocate(size).map(|address| address as *mut c_void);
    guarded(context, own, |before| before.malloc(size))
}

extern "C" fn calloc(context: *mut c_void, count: usize, each: usize) -> *mut c_void {
    let own = |arena: &mut Arena| {
        let size = count.checked_mul(each)?;
        let address = arena.allocate(size)? as *mut c_void;
        // SAFETY: so many bytes were just given out there.
        unsafe { ptr::write_bytes(address.cast::<u8>(), 0, size) };
        Some(address)
    };
    guarded(context, own, |before| before.calloc(count, each))
}

extern "C" fn realloc(context: *mut c_void, old: *mut c_void, size: usize) -> *mut c_void {
    if old.is_null() {
        return malloc(context, size);
    }
    let own = |arena: &mut Arena| arena.find(old as usize).map(|(_, length)| Ok(length));
    let moved = |before: &Allocator| Err(before.realloc(old, size));
    match guarded(context, own, moved) {
        Err(elsewhere) => elsewhere,
        Ok(length) => {
            let new = malloc(context, size);
            if !new.is_null() {
                // SAFETY: both blocks live, do not overlap, and are at least so long.
                unsafe { ptr::copy_nonoverlapping(old.cast::<u8>(), new.cast(), length.min(size)) };
                free(context, old);
            }
            new
        }
    }
}

extern "C" fn free(context: *mut c_void, block: *mut c_void) {
    if !block.is_null() {
        let own = |arena: &mut Arena| arena.free(block as usize).then_some(());
        guarded(context, own, |before| before.free(block));
    }
}
