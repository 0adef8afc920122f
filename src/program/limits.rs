//! How large a program and its objects may be.
//!
//! The bugs live at boundaries, and a boundary of a short buffer is reached as surely as one of a
//! long one. Small objects keep a run fast, a finding readable, and the memory of a worker flat.

/// Slots of exporters: `b0` to `b3`.
pub const EXPORTERS: u8 = 4;
/// Slots of memoryviews: `v0` to `v7`.
pub const VIEWS: u8 = 8;
/// Slots of exports held by a consumer in C: `x0` and `x1`.
pub const EXPORTS: u8 = 2;
/// Slots of iterators: `i0` and `i1`.
pub const ITERATORS: u8 = 2;
/// Threads: `T0` to `T3`.
pub const THREADS: u8 = 4;
/// The program's own locks: `m0` and `m1`.
pub const LOCKS: u8 = 2;
/// Steps of one program; what is longer is cut by `fixup`.
pub const STEPS: usize = 512;
/// Bytes of a literal in a program.
pub const LITERAL: usize = 64;
/// Characters of a string in a program.
pub const TEXT: usize = 24;
/// Items of a list or tuple in a program.
pub const ITEMS: usize = 8;
/// Methods of one hook.
pub const METHODS: usize = 3;
/// Steps of one method of a hook.
pub const HOOK_STEPS: usize = 4;
/// Hooks within each other.
pub const HOOK_DEPTH: usize = 3;
/// What happens within the hooks of one step: calls of them, and their steps. What goes on for longer may go on for ever, as
/// a search does whose hook begins it again, and is skipped on every subject.
pub const EVENTS: usize = 1 << 15;
/// How many times as many slots of exporters and of views there are as programs name: a step that waits for a hook keeps
/// what it is about in others.
pub const ROOM: usize = 1 + HOOK_DEPTH;
/// Arguments of one operation.
pub const ARGUMENTS: usize = 5;
/// Bytes of one exporter. A step that would make one longer is skipped on every subject.
pub const LENGTH: usize = 4096;
/// Numbers between [`LENGTH`] and this are clamped: as a size they would ask the machine for real
/// memory, which decides between success and `MemoryError` by how much it has. Above it, CPython
/// refuses on every machine.
pub const REFUSED_SIZE: i64 = 1 << 62;
