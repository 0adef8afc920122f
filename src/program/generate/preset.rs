//! Presets of programs that race: each does much of one thing with few objects, where a free mix does a little of
//! everything with many.
//!
//! Some keep one mistake from hiding the rest: where each release of a shared view ends a run, programs of views that
//! no thread shares still say something.

use super::{Choices, Sketch, Swarm, make, step};
use crate::program::op::Op::{
    self, Acquire, Append, Cast, Clear, Close, Closed, Contains, Copy, Count, Crc32, DelItem, Digest, Drop,
    Equal, Extend, Find, GetBuffer, GetValue, Hash, Hex, Hexlify, Insert, Item, Iter, IterUnpack, Join,
    Length, List, Lock, LockedBytes, NewArray, NewByteArray, NewBytes, NewLender, NewMmap, NewStream,
    NewText, NewView, Next, Obj, Pop, Raw, Read, ReadLine, ReadLines, Release, ReleaseExport, Replace,
    Request, Resize, Seek, SetItem, Split, ToBytes, ToList, ToReadOnly, Translate, Truncate, Write,
};
use crate::program::{Step, limits};

/// What such programs are made of.
struct Preset {
    /// What makes the exporters, of which there is one, or two.
    makers: &'static [Op],
    /// What is done before the threads start.
    before: &'static [Op],
    /// What the threads do: the first of these, the second, and so on around.
    threads: &'static [&'static [Op]],
}

const RESIZABLE: &[Op] = &[NewByteArray, NewByteArray, NewArray];

/// All presets. What they are about stands before each.
const PRESETS: &[Preset] = &[
    // One exporter is acquired, released and resized.
    Preset {
        makers: RESIZABLE,
        before: &[NewView, Acquire],
        threads: &[&[NewView, Release, Crc32], &[NewView, Release, ReleaseExport, Append, Pop]],
    },
    // One view is sliced, cast and exported.
    Preset {
        makers: RESIZABLE,
        before: &[NewView],
        threads: &[
            &[Item, Cast, NewView, ToReadOnly, Release],
            &[Hexlify, Digest, Request, Release, Append],
            &[Item, Release, Clear, Extend],
        ],
    },
    // One view is released, and whoever finds it released wants to resize.
    Preset {
        makers: &[NewByteArray, NewArray, NewMmap],
        before: &[NewView],
        threads: &[&[Release, Append, Resize], &[Release, Item, Obj, Pop, Close, Resize]],
    },
    // The same of several views of one buffer.
    Preset {
        makers: RESIZABLE,
        before: &[NewView, Item, Cast, ToReadOnly],
        threads: &[&[Release, Append], &[Release, Clear], &[Release, Pop, NewView]],
    },
    // One iterator is advanced to its end.
    Preset {
        makers: &[NewByteArray, NewArray, NewStream],
        before: &[Iter, IterUnpack, NewView],
        threads: &[&[Next, List], &[Next, Append, Clear, Release], &[Next, Extend, Write]],
    },
    // Copies beside a release, and beside memory that is emptied and filled again.
    Preset {
        makers: RESIZABLE,
        before: &[NewView],
        threads: &[
            &[ToBytes, Hex, Join, ToList, Copy, Digest],
            &[Release, Clear, Extend],
            &[NewView, Release],
        ],
    },
    // A view that is read beside its release.
    Preset {
        makers: &[NewByteArray],
        before: &[NewView],
        threads: &[&[ToBytes, ToList], &[Release, Append]],
    },
    // Whatever resizes beside whatever reads.
    Preset {
        makers: RESIZABLE,
        before: &[NewView, Release],
        threads: &[
            &[Append, Extend, Insert, Pop, Clear, DelItem, Resize],
            &[Find, Count, Contains, Split, Replace, Translate, Hex, Equal, Item, List, Length, Join],
        ],
    },
    // Streams that are read as a whole, written and closed.
    Preset {
        makers: &[NewStream],
        before: &[GetBuffer, Seek, Write],
        threads: &[
            &[GetValue, GetBuffer, Release, Read, ReadLines],
            &[Write, Truncate, Close, Release],
            &[Seek, ReadLine, GetBuffer, Write, Closed],
        ],
    },
    // Maps that are closed and resized beside whoever uses them.
    Preset {
        makers: &[NewMmap],
        before: &[NewView, Release],
        threads: &[
            &[Close, Resize, Release],
            &[NewView, Item, Find, Read, Length, Release],
            &[SetItem, Write, Closed],
        ],
    },
    // One that is closed beside whoever acquires it.
    Preset { makers: &[NewMmap], before: &[], threads: &[&[Close], &[NewView, Release, Length]] },
    Preset { makers: &[NewStream], before: &[], threads: &[&[Close], &[GetBuffer, Release, GetValue]] },
    // What is joined or compared while it changes.
    Preset {
        makers: RESIZABLE,
        before: &[NewView, NewByteArray, NewLender],
        threads: &[&[Join, Equal, Extend, Replace], &[Release, Clear, Append, Pop]],
    },
    // Consumers in C, with exports of an exporter and of a view.
    Preset {
        makers: RESIZABLE,
        before: &[NewView, Acquire, Request, Lock],
        threads: &[
            &[ReleaseExport, Raw, Release, Append],
            &[Crc32, Hexlify, LockedBytes, Release, Pop, NewView],
        ],
    },
    // Nothing that changes, so that nothing but counts can go wrong.
    Preset {
        makers: &[NewBytes, NewText],
        before: &[NewView, Acquire, Lock],
        threads: &[
            &[NewView, Item, Release, ReleaseExport, Hash],
            &[NewView, Cast, ToBytes, Release, ReleaseExport],
        ],
    },
    // A view for each thread, so that none is released by another one.
    Preset {
        makers: RESIZABLE,
        before: &[],
        threads: &[&[NewView, Item, ToBytes, SetItem, Drop, Append], &[NewView, Release, Clear, Extend]],
    },
];

/// The most steps of threads, less two: in a long program as well, each object is closed and each view released once.
const RACING: u32 = 12;

/// The steps of a program by one of the presets, at most so many.
pub(super) fn steps(choices: &mut impl Choices, threads: u8, most: usize) -> Vec<Step> {
    let preset = choices.pick(PRESETS);
    let before = Swarm::only(preset.before);
    let swarms: Vec<_> = preset.threads.iter().map(|ops| Swarm::only(ops)).collect();
    let mut sketch = Sketch::default();
    let mut steps = Vec::new();
    let exporters = 1 + usize::from(choices.chance(1, 4));
    let setup = exporters + if preset.before.is_empty() { 0 } else { 1 + choices.below(3) as usize };
    for position in 0..most.min(setup + 2 + choices.below(RACING) as usize) {
        let next = if position < exporters {
            let maker = *choices.pick(preset.makers);
            make(choices, maker, &sketch)
        } else if position < setup {
            step(choices, &before, &sketch)
        } else {
            let thread = choices.below(threads.min(limits::THREADS).into()) as u8;
            let swarm = &swarms[usize::from(thread) % swarms.len()];
            Step { thread: Some(thread), ..step(choices, swarm, &sketch) }
        };
        sketch.follow(&next);
        steps.push(next);
    }
    steps
}
