//! What every subject must see and show: the model's run of a whole program.
//!
//! The model depends on nothing but the program, so that it runs first, and alone. Each subject is then held against
//! what it left, after every step. Model and subjects would otherwise drive each other's code out of the caches of
//! the processor at every step, which costs as much as a subject does.

use std::ops::Range;

use super::model::Model;
use super::{Flavour, Picture, Shown};
use crate::exporter::{Layout, same_bytes};
use crate::history::{Nested, Outcome};
use crate::program::{Program, Slot, SlotKind, limits};

/// The outcome of each step of a program, and what all slots hold after it.
#[derive(Debug, Default)]
pub struct Trace {
    outcomes: Vec<Outcome>,
    /// The states of all slots, one after the other; what leaves all as it was adds none.
    states: Vec<Slots>,
    /// Which of the states each step left.
    left: Vec<u32>,
    /// What happened while steps converted their hooks, one after the other.
    nested: Vec<Nested>,
    /// Where that of each step ends.
    nested_ends: Vec<u32>,
    /// Contents of exporters; what a step leaves as it was is here once.
    bytes: Vec<u8>,
    /// What each view shows, by its number.
    views: Vec<Viewed>,
}

/// All slots after one step; a bit for each of a kind.
#[derive(Debug, Clone, Copy, Default)]
struct Slots {
    filled: [u8; SlotKind::ALL.len()],
    /// Which of the views are released.
    released: u8,
    /// Which of the exports are not.
    held: u8,
    exporters: [Exporter; limits::EXPORTERS as usize],
    /// The numbers of the views.
    views: [u32; limits::VIEWS as usize],
}

/// An exporter after one step.
#[derive(Debug, Clone, Copy)]
struct Exporter {
    flavour: Flavour,
    /// Where its contents are.
    contents: (u32, u32),
    cursor: usize,
    closed: bool,
}

impl Default for Exporter {
    fn default() -> Exporter {
        Exporter { flavour: Flavour::Bytes, contents: (0, 0), cursor: 0, closed: false }
    }
}

/// Every kind, in the order of the enum.
const KINDS: [SlotKind; 4] = [SlotKind::Exporter, SlotKind::View, SlotKind::Export, SlotKind::Iterator];

/// What a view shows as long as it is not released.
#[derive(Debug, Clone)]
pub struct Viewed {
    /// Where the items are.
    pub layout: Layout,
    /// The same of a view of one dimension, as nearly all are.
    pub line: Option<Line>,
}

/// All that is to be seen of a view of one dimension, worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// From the memory of the exporter to the first item, in bytes.
    pub offset: isize,
    /// Items.
    pub length: isize,
    /// From item to item, in bytes.
    pub stride: isize,
    /// Bytes per item.
    pub itemsize: isize,
    /// Bytes in all items.
    pub nbytes: isize,
    /// Whether writes are refused.
    pub readonly: bool,
    /// Whether the items lie side by side.
    pub contiguous: bool,
}

impl Viewed {
    fn new(layout: &Layout) -> Viewed {
        let line = match (&*layout.shape, &*layout.strides) {
            (&[length], &[stride]) => Some(Line {
                offset: layout.offset,
                length,
                stride,
                itemsize: layout.itemsize() as isize,
                nbytes: layout.nbytes() as isize,
                readonly: layout.readonly,
                contiguous: layout.is_c_contiguous(),
            }),
            _ => None,
        };
        Viewed { layout: layout.clone(), line }
    }
}

impl Trace {
    /// Runs a program on the model from empty slots on, and forgets the run before.
    pub fn record(&mut self, model: &mut Model, program: &Program) {
        model.clear();
        model.follow(program);
        self.outcomes.clear();
        self.states.clear();
        self.left.clear();
        self.nested.clear();
        self.nested_ends.clear();
        self.bytes.clear();
        self.views.clear();
        let mut state = Slots::default();
        self.states.push(state);
        for step in &program.steps {
            let made = model.views_made();
            self.outcomes.push(model.step(step));
            if step.has_hooks() {
                self.nested.extend_from_slice(model.nested());
            }
            self.nested_ends.push(self.nested.len() as u32);
            if self.look(model, &mut state, made) {
                self.states.push(state);
            }
            self.left.push(self.states.len() as u32 - 1);
        }
    }

    /// Brings `state`, which was that before the last step, up to date, and says whether it may have changed. The step
    /// made views from the number `made` on.
    #[inline]
    fn look(&mut self, model: &Model, state: &mut Slots, made: u32) -> bool {
        let filled = |kind| model.filled(kind);
        let touched = model.touched();
        let (before, held) = (state.filled, state.held);
        state.filled = KINDS.map(|kind| filled(kind) as u8);
        let mut left = touched.exporters & filled(SlotKind::Exporter);
        while let Some(place) = next_place(&mut left) {
            let seen = &mut state.exporters[place];
            match model.shown(Slot::new(SlotKind::Exporter, place as u8)) {
                Shown::Exporter { flavour, bytes, cursor } => {
                    if !same_bytes(&self.bytes[range(seen.contents)], bytes) {
                        seen.contents = (self.bytes.len() as u32, bytes.len() as u32);
                        self.bytes.extend_from_slice(bytes);
                    }
                    *seen = Exporter { flavour, contents: seen.contents, cursor, closed: false };
                }
                Shown::Closed(flavour) => {
                    *seen = Exporter { flavour, contents: (0, 0), cursor: 0, closed: true };
                }
                _ => {}
            }
        }
        let mut left = touched.views & filled(SlotKind::View);
        while let Some(place) = next_place(&mut left) {
            let Some(view) = model.view(place) else { continue };
            set(&mut state.released, place, view.released);
            state.views[place] = view.number;
            if view.number >= made {
                // Several views may be made by the hooks of one step, and some of them be gone.
                let room = self.views.len().max(view.number as usize + 1);
                let viewed = Viewed::new(view.layout);
                self.views.resize(room, viewed.clone());
                self.views[view.number as usize] = viewed;
            }
        }
        let mut left = filled(SlotKind::Export);
        while let Some(place) = next_place(&mut left) {
            set(&mut state.held, place, model.holds_export(place));
        }
        touched.exporters | touched.views != 0 || before != state.filled || held != state.held
    }

    /// What the model saw of each step.
    #[inline]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// What happened while a step converted its hooks.
    pub fn nested(&self, step: usize) -> &[Nested] {
        let start = step.checked_sub(1).map_or(0, |before| self.nested_ends[before]);
        &self.nested[start as usize..self.nested_ends[step] as usize]
    }

    /// What all slots hold after a step.
    #[inline]
    pub fn after(&self, step: usize) -> State<'_> {
        State { trace: self, slots: &self.states[self.left[step] as usize] }
    }

    /// The outcomes, which are taken out.
    pub fn into_outcomes(&mut self) -> impl Iterator<Item = Outcome> {
        self.outcomes.drain(..)
    }
}

fn range((start, length): (u32, u32)) -> Range<usize> {
    start as usize..start as usize + length as usize
}

/// The place of the lowest bit, which is taken out.
#[inline]
fn next_place(bits: &mut u32) -> Option<usize> {
    if *bits == 0 {
        return None;
    }
    let place = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    Some(place)
}

#[inline]
fn set(bits: &mut u8, place: usize, to: bool) {
    *bits = *bits & !(1 << place) | u8::from(to) << place;
}

/// What all slots hold after one step, by the model.
#[derive(Debug, Clone, Copy)]
pub struct State<'a> {
    trace: &'a Trace,
    slots: &'a Slots,
}

impl<'a> State<'a> {
    /// Which slots of a kind are filled, a bit for each.
    #[inline]
    pub fn filled(&self, kind: SlotKind) -> u32 {
        self.slots.filled[kind as usize].into()
    }

    /// The exporter in a filled slot of which the place is given.
    #[inline]
    pub fn exporter(&self, place: usize) -> Shown<'a> {
        let Exporter { flavour, contents, cursor, closed } = self.slots.exporters[place];
        if closed {
            return Shown::Closed(flavour);
        }
        Shown::Exporter { flavour, bytes: &self.trace.bytes[range(contents)], cursor }
    }

    /// Whether the view in a filled slot is released.
    #[inline]
    pub fn is_released(&self, place: usize) -> bool {
        self.slots.released >> place & 1 != 0
    }

    /// The number of the view in a filled slot, which no other view has in this run.
    #[inline]
    pub fn number(&self, place: usize) -> u32 {
        self.slots.views[place]
    }

    /// What the view in a filled slot shows unless it is released.
    #[inline]
    pub fn view(&self, place: usize) -> &'a Viewed {
        &self.trace.views[self.slots.views[place] as usize]
    }

    /// Whether the export in a filled slot is held still.
    #[inline]
    pub fn is_held(&self, place: usize) -> bool {
        self.slots.held >> place & 1 != 0
    }

    /// What a slot holds.
    pub fn picture(&self, slot: Slot) -> Picture {
        if self.filled(slot.kind) >> slot.at() & 1 == 0 {
            return Picture::Empty;
        }
        match slot.kind {
            SlotKind::Exporter => Picture::from(&self.exporter(slot.at())),
            SlotKind::View if self.is_released(slot.at()) => Picture::ReleasedView,
            SlotKind::View => Picture::View((&self.view(slot.at()).layout).into()),
            SlotKind::Export => Picture::Export { held: self.is_held(slot.at()) },
            SlotKind::Iterator => Picture::Iterator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::generate::{Shape, nth};
    use crate::subject::Version;

    #[test]
    fn a_trace_shows_what_the_model_shows_after_each_step() {
        let mut trace = Trace::default();
        let mut traced = Model::new(Version::NEWEST);
        for index in 0..300 {
            let program = nth(5, index, Shape { steps: 40, threads: 1, ..Shape::default() });
            trace.record(&mut traced, &program);
            let mut model = Model::new(Version::NEWEST);
            for (at, step) in program.steps.iter().enumerate() {
                assert_eq!(trace.outcomes()[at], model.step(step));
                for slot in SlotKind::ALL.into_iter().flat_map(Slot::all) {
                    assert_eq!(trace.after(at).picture(slot), Picture::from(&model.shown(slot)), "{slot}");
                }
            }
        }
    }
}
