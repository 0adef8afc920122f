//! Arguments by their roles: likely ones, boundaries, and now and then one of the wrong type.

use super::{Choices, Sketch, arrays, formatting};
use crate::exporter::Body;
use crate::program::op::{Class, ORDERS, PATTERNS, Role, STRUCT_FORMATS};
use crate::program::{Arg, Float, Int, Slot, SlotKind, fixup, limits};

/// An argument in its role, after those that stand before it.
pub(super) fn argument(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    (role, before): (Role, &[Arg]),
) -> Arg {
    let mut arg = likely_argument(choices, sketch, receiver, (role, before));
    fixup::fix_arg(&mut arg, role);
    arg
}

pub(super) fn likely_argument(
    choices: &mut impl Choices,
    sketch: &Sketch,
    receiver: Option<Slot>,
    (role, before): (Role, &[Arg]),
) -> Arg {
    if choices.chance(1, 48) {
        return wrong_type(choices, sketch);
    }
    if let Some(slot) = receiver
        && let Some(code) = sketch.type_code(slot)
        && let Some(arg) = arrays::argument(choices, sketch, slot, code, (role, before))
    {
        return arg;
    }
    if let (Some(slot), Role::Byte | Role::Needle | Role::Item | Role::Source) = (receiver, role)
        && sketch.class(slot) == Some(Class::CArray)
        && !matches!(before.first(), Some(Arg::Slice(_)))
        && choices.chance(1, 2)
    {
        return arrays::item(choices, sketch.c_type(slot));
    }
    // What a function is given first is what it is done on.
    let given = match before.first() {
        Some(Arg::Slot(slot)) => Some(*slot),
        _ => None,
    };
    let length = receiver.or(given).map_or(8, |slot| sketch.length(slot));
    match role {
        Role::Index => Arg::Int(index(choices, length)),
        Role::Size => Arg::Int(size(choices, length)),
        Role::Times => Arg::Int(match choices.below(16) {
            0..=12 => Int::Small(*choices.pick(&[1, 2, 0, -1, 3])),
            _ => extreme(choices),
        }),
        Role::Byte => byte(choices),
        Role::Key => match choices.below(32) {
            0..=14 => Arg::Int(index(choices, length)),
            15 => tuple(choices, length),
            _ => slice(choices, length),
        },
        Role::Item => item(choices, sketch, receiver, length),
        Role::Buffer => buffer(choices, sketch),
        Role::Source if receiver.and_then(|slot| sketch.class(slot)) == Some(Class::BytesIO) => {
            lines_or_buffer(choices, sketch)
        }
        Role::Source if choices.chance(1, 5) => formatting::format(choices),
        Role::Source => match choices.below(8) {
            0..=2 => Arg::Int(size(choices, length)),
            3 => list(choices),
            _ => buffer(choices, sketch),
        },
        Role::Needle => {
            if choices.chance(1, 2) {
                byte(choices)
            } else {
                buffer(choices, sketch)
            }
        }
        Role::File => {
            let is_file = |slot| matches!(sketch.class(slot), Some(Class::BytesIO | Class::Mmap));
            match sketch.one_of(SlotKind::Exporter, choices, is_file) {
                Some(slot) if choices.chance(15, 16) => Arg::Slot(slot),
                _ => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            }
        }
        Role::Buffers => {
            let count = choices.below(4);
            Arg::List((0..count).map(|_| buffer(choices, sketch)).collect())
        }
        Role::Pattern => Arg::bytes(choices.pick(PATTERNS).as_bytes()),
        Role::StructFormat => Arg::Str((*choices.pick(STRUCT_FORMATS)).into()),
        Role::ByteOrder => Arg::Str((*choices.pick(&["little", "big", "little", "big", "middle"])).into()),
        Role::LockAccess => Arg::Str((*choices.pick(&["write", "read", "write", "read", "execute"])).into()),
        Role::Other => match choices.below(8) {
            0..=5 => buffer(choices, sketch),
            _ => byte(choices),
        },
        Role::Values => formatting::values(choices, sketch, receiver.and_then(|slot| sketch.format(slot))),
        Role::Parts => parts(choices, sketch),
        Role::Table => match choices.below(4) {
            0 => Arg::None,
            _ => buffer(choices, sketch),
        },
        Role::Format => Arg::Str((*choices.pick(FORMATS)).into()),
        Role::Shape => shape(choices, sketch, receiver),
        Role::Separator => match choices.below(4) {
            0 => Arg::None,
            1 => buffer(choices, sketch),
            2 => Arg::Str((*choices.pick(&["-", ":", "", "ab", " "])).into()),
            _ => Arg::bytes(choices.pick::<&[u8]>(&[b"-", b"a", b"", b"ab", b"\x00"])),
        },
        Role::TypeCode => arrays::type_code(choices),
        Role::CType => arrays::c_type(choices),
        Role::ArraySource => match arrays::named_type(before) {
            Some(code) => arrays::source(choices, sketch, code),
            None => arrays::source_of_nothing(choices, sketch),
        },
        Role::Items => list(choices),
        Role::Text => arrays::text(choices),
        Role::FileNumber => Arg::Int(match choices.below(64) {
            0 => extreme(choices),
            1 => Int::Small(*choices.pick(&[-2, 0, i64::from(i32::MAX), i64::from(i32::MIN)])),
            _ => Int::Small(-1),
        }),
        Role::MapFlags => mostly(choices, 1, &[2, 2, 2, 0, 3, 33, 34, 1 << 31]),
        Role::Protection => mostly(choices, 3, &[1, 1, 2, 0, -1]),
        Role::FileLength => mostly(choices, 0, &[1, 1, 2, 2, 3, 4, 5, 64, -1]),
        Role::Access => mostly(choices, 1, &[0, 1, 2, 2, 3, 3, 3, 4, -1]),
        Role::Offset => match choices.below(4) {
            0 | 1 => Arg::int(0),
            2 => Arg::Int(index(choices, length)),
            _ => Arg::int(*choices.pick(&[-1, 1, length, length + 1, 4096])),
        },
        Role::Advice => mostly(choices, 0, &[1, 2, 3, -1, 1 << 31]),
        Role::Flags => Arg::Int(Int::Small(flags(choices))),
        Role::ReadOrWrite => Arg::int(*choices.pick(&[0x100, 0x100, 0x200])),
        Role::Order => Arg::Str((*choices.pick(ORDERS)).into()),
        Role::Numbers => {
            let count = choices.below(4);
            Arg::Tuple((0..count).map(|_| Arg::int(i64::from(choices.below(4)))).collect())
        }
        Role::Small => Arg::int(i64::from(choices.below(3))),
        Role::Block => literal(choices),
        Role::Body => Arg::Str(choices.pick(&Body::ALL).name().into()),
        Role::Exporter => match choices.below(16) {
            0..=8 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
            9..=13 => filled_or_bytes(choices, sketch, SlotKind::View),
            14 => filled_or_bytes(choices, sketch, SlotKind::Export),
            _ => literal(choices),
        },
        Role::Lines => lines_or_buffer(choices, sketch),
        Role::Limit => match choices.below(8) {
            0 => Arg::None,
            1 => Arg::int(-1),
            _ => Arg::Int(size(choices, length)),
        },
        Role::Whence => match choices.below(24) {
            0 => Arg::int(3),
            1 => Arg::int(-1),
            2 => Arg::Int(extreme(choices)),
            other => Arg::int(i64::from(other % 3)),
        },
        Role::Writable => match choices.below(16) {
            0 => literal(choices),
            1..=7 => filled_or_bytes(choices, sketch, SlotKind::View),
            8 => filled_or_bytes(choices, sketch, SlotKind::Export),
            _ => filled_or_bytes(choices, sketch, SlotKind::Exporter),
        },
        Role::State => {
            let mut items = vec![lines_or_buffer(choices, sketch), Arg::Int(index(choices, length))];
            items.push(if choices.chance(1, 16) { byte(choices) } else { Arg::None });
            items.truncate(if choices.chance(1, 16) { 2 } else { 3 });
            Arg::Tuple(items.into())
        }
    }
}

/// Requests as consumers make them, and any combination of the flags, and other bits.
fn flags(choices: &mut impl Choices) -> i64 {
    match choices.below(16) {
        0..=5 => {
            *choices.pick(&[0, 1, 0x8, 0x9, 0x18, 0x19, 0x1C, 0x1D, 0x11C, 0x11D, 0x38, 0x58, 0x98, 0xB8])
        }
        // Most of them do not ask to write, which much memory refuses.
        6..=11 => i64::from(choices.below(0x100)) << 1,
        12 | 13 => i64::from(choices.below(0x200)),
        14 => *choices.pick(&[0x100, 0x200, 0x300]),
        _ => i64::from(choices.next() as i32),
    }
}

/// A number that means something, or else another one.
pub(super) fn mostly(choices: &mut impl Choices, usual: i64, others: &[i64]) -> Arg {
    match choices.below(32) {
        0..=20 => Arg::int(usual),
        21..=30 => Arg::int(*choices.pick(others)),
        _ => Arg::Int(extreme(choices)),
    }
}

/// Formats of a cast: all that memoryview knows, some twice, and some that it does not.
const FORMATS: &[&str] = &[
    "B", "B", "b", "c", "H", "h", "I", "i", "L", "l", "Q", "q", "N", "n", "f", "d", "?", "P", "e", "@B",
    "@H", "@I", "Zf", "Zd", "@Zf", "", "x", "<H", "BB", "@", "3B", "F", "<Zf",
];

pub(super) fn extreme(choices: &mut impl Choices) -> Int {
    *choices.pick(&[
        Int::Small(i64::MAX),
        Int::Small(i64::MIN),
        Int::Unsigned(1 << 63),
        Int::Unsigned(u64::MAX),
        Int::Huge { negative: false },
        Int::Huge { negative: true },
        Int::Small(limits::REFUSED_SIZE),
        Int::Small(i64::MAX - 1),
    ])
}

/// An index into `length` items: mostly within, often at a boundary.
pub(super) fn index(choices: &mut impl Choices, length: i64) -> Int {
    Int::Small(match choices.below(32) {
        0..=17 => i64::from(choices.below(length.max(1) as u32)),
        18..=20 => -1 - i64::from(choices.below(length.max(1) as u32)),
        21 | 22 => 0,
        23 => length - 1,
        24 => length,
        25 => length + 1,
        26 => -length,
        27 => -length - 1,
        28 => -1,
        29 => 1,
        30 => 2,
        _ => return extreme(choices),
    })
}

pub(super) fn size(choices: &mut impl Choices, length: i64) -> Int {
    Int::Small(match choices.below(32) {
        0..=21 => i64::from(*choices.pick(&[8, 0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 24, 32])),
        22 => length,
        23 => length + 1,
        24 => length - 1,
        25..=28 => i64::from(choices.below(48)),
        29 => -1,
        30 => *choices.pick(&[64, 255, 256, 257, 512]),
        _ => return extreme(choices),
    })
}

pub(super) fn byte(choices: &mut impl Choices) -> Arg {
    Arg::int(match choices.below(24) {
        0..=5 => 0,
        6..=17 => i64::from(b'a') + i64::from(choices.below(4)),
        18 | 19 => i64::from(choices.below(256)),
        20 => 255,
        21 => 256,
        22 => -1,
        _ => return Arg::Int(extreme(choices)),
    })
}

pub(super) fn slice(choices: &mut impl Choices, length: i64) -> Arg {
    let bound = |choices: &mut _| match Choices::below(choices, 3) {
        0 => None,
        _ => Some(index(choices, length)),
    };
    let (start, stop) = (bound(choices), bound(choices));
    let step = match choices.below(16) {
        0..=9 => None,
        10 => Some(extreme(choices)),
        _ => Some(Int::Small(*choices.pick(&[2, 1, -1, -2, 3, 0, -3, 7]))),
    };
    Arg::slice(start, stop, step)
}

pub(super) fn tuple(choices: &mut impl Choices, length: i64) -> Arg {
    let count = choices.below(4);
    Arg::Tuple((0..count).map(|_| Arg::Int(index(choices, length.min(4)))).collect())
}

pub(super) fn list(choices: &mut impl Choices) -> Arg {
    let count = choices.below(limits::ITEMS as u32 + 1);
    let items = (0..count).map(|_| byte(choices)).collect();
    if choices.chance(1, 8) { Arg::Tuple(items) } else { Arg::List(items) }
}

/// A value to store under a key: a byte or number, or a buffer as long as a slice might be.
pub(super) fn item(choices: &mut impl Choices, sketch: &Sketch, receiver: Option<Slot>, length: i64) -> Arg {
    match choices.below(32) {
        0..=10 => byte(choices),
        11 if choices.chance(1, 4) => arrays::complex(choices),
        11 => Arg::Float(Float::new(*choices.pick(&[0.5, -0.0, 1e300, f64::INFINITY, f64::NAN, 7.0]))),
        12 => Arg::int(*choices.pick(&[
            127,
            128,
            -128,
            -129,
            32767,
            32768,
            65535,
            65536,
            1 << 31,
            -(1 << 31),
            (1 << 32) - 1,
            1 << 32,
        ])),
        13..=22 => {
            let count = choices.below(length.clamp(0, 8) as u32 + 2) as usize;
            Arg::Bytes((0..count).map(|_| b'a' + choices.below(4) as u8).collect())
        }
        23 => list(choices),
        // The receiver itself, or a view of who knows what.
        24 => receiver.map_or(Arg::None, Arg::Slot),
        _ => buffer(choices, sketch),
    }
}

pub(super) fn literal(choices: &mut impl Choices) -> Arg {
    let count = match choices.below(16) {
        0..=11 => choices.below(6),
        12..=14 => choices.below(24),
        _ => choices.below(limits::LITERAL as u32 + 1),
    };
    Arg::Bytes(
        (0..count)
            .map(
                |_| {
                    if choices.chance(1, 8) {
                        choices.below(256) as u8
                    } else {
                        b'a' + choices.below(4) as u8
                    }
                },
            )
            .collect(),
    )
}

/// A few short lines, the last without an end, or another buffer.
pub(super) fn lines_or_buffer(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(16) {
        0 => Arg::None,
        1..=9 => {
            let count = choices.below(12);
            let byte = |_| if choices.chance(1, 3) { b'\n' } else { b'a' + choices.below(4) as u8 };
            Arg::Bytes((0..count).map(byte).collect())
        }
        _ => buffer(choices, sketch),
    }
}

pub(super) fn filled_or_bytes(choices: &mut impl Choices, sketch: &Sketch, kind: SlotKind) -> Arg {
    match sketch.filled(kind, choices) {
        Some(slot) => Arg::Slot(slot),
        None => literal(choices),
    }
}

pub(super) fn buffer(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(8) {
        0..=2 => literal(choices),
        3 | 4 => filled_or_bytes(choices, sketch, SlotKind::Exporter),
        5 | 6 => filled_or_bytes(choices, sketch, SlotKind::View),
        _ => filled_or_bytes(choices, sketch, SlotKind::Export),
    }
}

pub(super) fn parts(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    let count = choices.below(4);
    let items = (0..count)
        .map(|_| if choices.chance(1, 16) { byte(choices) } else { buffer(choices, sketch) })
        .collect();
    if choices.chance(1, 4) { Arg::Tuple(items) } else { Arg::List(items) }
}

/// Shapes whose product fits, nearly fits, or is nonsense.
pub(super) fn shape(choices: &mut impl Choices, sketch: &Sketch, receiver: Option<Slot>) -> Arg {
    let length = receiver.map_or(0, |slot| sketch.length(slot));
    let mut items: Vec<i64> = match choices.below(9) {
        0 => vec![],
        1..=3 => vec![length],
        4 | 5 => {
            let factor = 1 + i64::from(choices.below(4));
            vec![factor, length / factor]
        }
        6 => vec![2, 2, length / 4],
        7 => vec![1, 2, 1, length / 2, 1],
        _ => vec![length + 1],
    };
    if choices.chance(1, 12) {
        items.push(*choices.pick(&[0, -1, 1, i64::MAX, 2]));
    }
    let items = items.into_iter().map(Arg::int).collect();
    if choices.chance(1, 3) { Arg::Tuple(items) } else { Arg::List(items) }
}

pub(super) fn wrong_type(choices: &mut impl Choices, sketch: &Sketch) -> Arg {
    match choices.below(8) {
        0 => Arg::None,
        1 => Arg::Str((*choices.pick(&["a", "", "abc"])).into()),
        2 if choices.chance(1, 2) => arrays::complex(choices),
        2 => Arg::Float(Float::new(1.5)),
        3 => Arg::Int(extreme(choices)),
        4 => list(choices),
        5 => tuple(choices, 4),
        6 => byte(choices),
        _ => buffer(choices, sketch),
    }
}
