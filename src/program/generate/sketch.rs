//! What the slots of a program probably hold: a guess that aims arguments at boundaries.

use super::{Choices, arrays, formatting};
use crate::exporter::{Code, TypeCode};
use crate::program::op::{Class, Row, Syntax};
use crate::program::{Arg, Args, Int, Op, Slot, SlotKind, Step, limits};

/// What the slots probably hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Sketch {
    exporters: [Option<ExporterSketch>; limits::EXPORTERS as usize],
    views: [Option<ViewSketch>; limits::VIEWS as usize],
    exports: [Option<Class>; limits::EXPORTS as usize],
    iterators: [bool; limits::ITERATORS as usize],
    /// How many hooks may be within each other from here on.
    pub(super) hooks: usize,
}

#[derive(Debug, Clone, Copy)]
struct ExporterSketch {
    class: Class,
    /// The type of its items, if it is an array.
    code: Option<TypeCode>,
    /// What its items are, if it is an array of `ctypes`.
    c_type: Code,
    /// In items.
    length: i64,
    /// The format that it holds, if it holds one.
    format: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
struct ViewSketch {
    length: i64,
    itemsize: i64,
}

impl Sketch {
    /// What they hold after these steps; for a mutator, which makes hooks anywhere.
    pub(super) fn after(steps: &[Step]) -> Sketch {
        let mut sketch = Sketch::default().with_hooks(limits::HOOK_DEPTH);
        steps.iter().for_each(|step| sketch.follow(step));
        sketch
    }

    /// With so many hooks within each other from here on.
    pub(super) fn with_hooks(self, hooks: usize) -> Sketch {
        Sketch { hooks, ..self }
    }

    pub(super) fn holds(&self, slot: Slot) -> bool {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].is_some(),
            SlotKind::View => self.views[slot.at()].is_some(),
            SlotKind::Export => self.exports[slot.at()].is_some(),
            SlotKind::Iterator => self.iterators[slot.at()],
        }
    }

    pub(super) fn length(&self, slot: Slot) -> i64 {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].map_or(0, |exporter| exporter.length),
            SlotKind::View => self.views[slot.at()].map_or(0, |view| view.length),
            SlotKind::Export | SlotKind::Iterator => 0,
        }
    }

    pub(super) fn filled(&self, kind: SlotKind, choices: &mut impl Choices) -> Option<Slot> {
        self.one_of(kind, choices, |_| true)
    }

    /// A filled slot that an operation is likely to know.
    pub(super) fn receiver(&self, kind: SlotKind, row: &Row, choices: &mut impl Choices) -> Option<Slot> {
        // What is no format is none in all the same way.
        let formats = row.op == Op::Remainder;
        let knows = |slot: Slot| {
            self.class(slot).is_none_or(|class| row.classes.contain(class))
                && (!formats || self.format(slot).is_some())
        };
        let known = self.one_of(kind, choices, knows);
        // Now and then it is done on what does not have it.
        if known.is_none() && choices.chance(1, if formats { 128 } else { 16 }) {
            self.filled(kind, choices)
        } else {
            known
        }
    }

    pub(super) fn class(&self, slot: Slot) -> Option<Class> {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].map(|exporter| exporter.class),
            SlotKind::Export => self.exports[slot.at()],
            SlotKind::View | SlotKind::Iterator => None,
        }
    }

    /// The type of the items of an array.
    pub(super) fn type_code(&self, slot: Slot) -> Option<TypeCode> {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].and_then(|exporter| exporter.code),
            _ => None,
        }
    }

    /// The format that an exporter holds.
    pub(super) fn format(&self, slot: Slot) -> Option<&'static str> {
        match slot.kind {
            SlotKind::Exporter => self.exporters[slot.at()].and_then(|exporter| exporter.format),
            _ => None,
        }
    }

    /// The format that is made of an argument.
    fn format_of(&self, arg: Option<&Arg>) -> Option<&'static str> {
        match arg? {
            Arg::Bytes(bytes) => formatting::known(bytes),
            Arg::Slot(slot) => self.format(*slot),
            _ => None,
        }
    }

    /// What the items of an array of `ctypes` are.
    pub(super) fn c_type(&self, slot: Slot) -> Code {
        let exporter = (slot.kind == SlotKind::Exporter).then(|| self.exporters[slot.at()]).flatten();
        exporter.map_or(Code::UnsignedChar, |exporter| exporter.c_type)
    }

    pub(super) fn itemsize(&self, slot: Slot) -> i64 {
        self.type_code(slot).map_or(self.c_type(slot).size(), TypeCode::itemsize) as i64
    }

    pub(super) fn one_of(
        &self,
        kind: SlotKind,
        choices: &mut impl Choices,
        is: impl Fn(Slot) -> bool,
    ) -> Option<Slot> {
        let mut candidates = [Slot::new(kind, 0); limits::VIEWS as usize];
        let mut count = 0;
        for slot in Slot::all(kind).filter(|&slot| self.holds(slot) && is(slot)) {
            candidates[count] = slot;
            count += 1;
        }
        (count > 0).then(|| *choices.pick(&candidates[..count]))
    }

    pub(super) fn free(&self, kind: SlotKind, choices: &mut impl Choices) -> Slot {
        match Slot::all(kind).find(|&slot| !self.holds(slot)) {
            Some(slot) if choices.chance(7, 8) => slot,
            _ => Slot::new(kind, choices.below(u32::from(kind.count())) as u8),
        }
    }

    pub(super) fn arg_length(&self, arg: Option<&Arg>) -> i64 {
        match arg {
            Some(Arg::Int(Int::Small(size))) => (*size).clamp(0, limits::LENGTH as i64),
            Some(Arg::Bytes(bytes)) => bytes.len() as i64,
            Some(Arg::Str(text)) => text.chars().count() as i64,
            Some(Arg::List(items) | Arg::Tuple(items)) => items.len() as i64,
            Some(Arg::Slot(slot)) => self.length(*slot),
            _ => 0,
        }
    }

    /// The length of a new array in items.
    pub(super) fn array_length(&self, args: &[Arg]) -> i64 {
        let given = self.arg_length(args.get(1));
        match (args.get(1), arrays::named_type(args)) {
            (Some(Arg::Bytes(_)), Some(code)) => given / code.itemsize() as i64,
            (Some(Arg::Int(_)), _) => 0,
            _ => given,
        }
    }

    /// Follows what a step does to lengths and slots, where that is easy to tell.
    pub(super) fn follow(&mut self, step: &Step) {
        let own = step.receiver.map_or(0, |slot| self.length(slot));
        // A map is told of its file before its length.
        let given = self.arg_length(step.args.get(usize::from(step.op == Op::NewMmap)));
        let grown = match step.op {
            Op::Append | Op::Insert => own + 1,
            Op::Pop | Op::Remove => own - 1,
            Op::Extend | Op::InPlaceAdd | Op::FromList | Op::FromUnicode => own + given,
            Op::FromFile => own + self.arg_length(step.args.get(1)),
            Op::FromBytes => own + given / step.receiver.map_or(1, |slot| self.itemsize(slot)),
            Op::Clear => 0,
            Op::Resize | Op::Init | Op::SetState => given,
            Op::Write | Op::WriteLines => own.max(given),
            Op::Truncate => own.min(given),
            Op::Close => 0,
            _ => own,
        };
        if let Some(Slot { kind: SlotKind::Exporter, index }) = step.receiver
            && let Some(exporter) = &mut self.exporters[index as usize]
            && self.views.iter().all(Option::is_none)
        {
            let length = grown.clamp(0, limits::LENGTH as i64);
            if std::mem::replace(&mut exporter.length, length) != length {
                exporter.format = None;
            }
        }
        if step.op == Op::Drop
            && let Some(slot) = step.receiver
        {
            match slot.kind {
                SlotKind::Exporter => self.exporters[slot.at()] = None,
                SlotKind::View => self.views[slot.at()] = None,
                SlotKind::Export => self.exports[slot.at()] = None,
                SlotKind::Iterator => self.iterators[slot.at()] = false,
            }
        }
        let Some(dest) = step.dest else { return };
        match dest.kind {
            SlotKind::Exporter => {
                let c_type = match (step.op, step.args.get(1)) {
                    (Op::NewCArray, Some(Arg::Str(name))) => Code::named(name).unwrap_or(Code::UnsignedChar),
                    _ => Code::UnsignedChar,
                };
                let length = match step.op {
                    Op::Add => own + given,
                    Op::Item => part(own, &step.args),
                    Op::NewByteArray
                    | Op::NewBytes
                    | Op::NewStream
                    | Op::NewText
                    | Op::NewMmap
                    | Op::MapFile => given,
                    Op::NewCArray => given / c_type.size() as i64,
                    Op::NewArray => self.array_length(&step.args),
                    _ => own,
                };
                let class = match step.op.row().syntax {
                    _ if matches!(
                        step.op,
                        Op::TakeBytes | Op::GetValue | Op::Read | Op::Read1 | Op::ReadLine
                    ) =>
                    {
                        Some(Class::Bytes)
                    }
                    Syntax::Call(_) => made_by(step),
                    // Part of a map is no map.
                    _ => step.receiver.and_then(|slot| self.class(slot)).map(|class| match class {
                        Class::Mmap => Class::Bytes,
                        class => class,
                    }),
                };
                let code = match step.op {
                    Op::NewArray => arrays::named_type(&step.args),
                    _ => step.receiver.and_then(|slot| self.type_code(slot)),
                };
                // No array is made without a type.
                if class == Some(Class::Array) && code.is_none() {
                    return;
                }
                let length = length.clamp(0, limits::LENGTH as i64);
                let format = match (step.op, step.receiver) {
                    (Op::NewByteArray | Op::NewBytes, _) => self.format_of(step.args.first()),
                    (Op::Copy, Some(slot)) => self.format(slot),
                    _ => None,
                };
                let sketch = |class| ExporterSketch { class, code, c_type, length, format };
                self.exporters[dest.at()] = class.map(sketch);
            }
            SlotKind::View => {
                let source = match (step.receiver, step.args.first()) {
                    (Some(slot), _) | (None, Some(&Arg::Slot(slot))) if slot.kind == SlotKind::View => {
                        self.views[slot.at()]
                    }
                    (Some(_), _) => Some(ViewSketch { length: own, itemsize: 1 }),
                    (None, Some(&Arg::Slot(slot))) => {
                        Some(ViewSketch { length: given, itemsize: self.itemsize(slot) })
                    }
                    _ => Some(ViewSketch { length: given, itemsize: 1 }),
                };
                self.views[dest.at()] = source.map(|mut view| {
                    if step.op == Op::Item {
                        view.length = part(view.length, &step.args);
                    } else if let (Op::Cast, Some(Arg::Str(format))) = (step.op, step.args.first()) {
                        let size = crate::exporter::Format::parse(format).map_or(1, |f| f.itemsize() as i64);
                        view.length = view.length * view.itemsize / size;
                        view.itemsize = size;
                    }
                    view
                });
            }
            SlotKind::Export => {
                self.exports[dest.at()] = made_by(step);
            }
            SlotKind::Iterator => self.iterators[dest.at()] = true,
        }
    }
}

/// The length of the part of `length` items that the first argument, a slice, takes.
fn part(length: i64, args: &Args) -> i64 {
    match args.first() {
        Some(Arg::Slice(bounds)) => {
            let part = crate::subject::index::plain_slice(bounds).map(|slice| slice.part(length as usize));
            part.map_or(0, |part| part.count as i64)
        }
        _ => length,
    }
}

/// The class that a call makes an object of.
fn made_by(step: &Step) -> Option<Class> {
    match step.op.row().syntax {
        Syntax::Call("mapped_file") => Some(Class::Mmap),
        Syntax::Call(name) => Class::ALL.into_iter().find(|class| class.name() == name),
        _ => None,
    }
}
