//! A script that lets threads race until what they see has no order.
//!
//! There is no model in it. What the model says of each order of the steps stands in a table ([`orders`]), in which the
//! script looks for one that time allows.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{PRELUDE, TooManyOrders, at_rest, expected, function, imports, picture, string};
use crate::history::{Outcome, Skip, Value};
use crate::judge::orders::{Orders, orders};
use crate::program::{Expect, Program, Step};
use crate::report::{Place, Told};
use crate::subject::{Model, Version};

/// What such a script does that no program decides.
const RACE: &str = include_str!("race.py");

/// The modules that it takes for that.
const MODULES: [&str; 5] = ["queue", "random", "subprocess", "threading", "time"];

/// The rest of the script, of which the head is there. `left_out` are steps that threads do not do, and `said` is what the
/// model says of each step before they start.
pub(super) fn script(
    out: &mut String,
    program: &Program,
    told: Option<&Told>,
    (left_out, said): (&[usize], &[Expect]),
    version: Version,
) -> Result<(), TooManyOrders> {
    // What ends a process, or is to be seen at rest, no order is asked about.
    let by_orders = told.is_none_or(|told| matches!(told.place, Place::Outcome | Place::State(_)));
    let orders = if by_orders {
        let mut before = Model::new(version);
        before.follow(program);
        let starts = program.steps.iter().filter(|step| step.thread.is_none());
        starts.for_each(|step| drop(before.step(step)));
        Some(orders(&before, program, left_out).ok_or(TooManyOrders)?)
    } else {
        None
    };
    imports(out, program, said, &MODULES);
    out.push_str(PRELUDE);
    out.push_str(RACE);
    steps(out, program, left_out, said);
    out.push_str("\n# What steps may see.\n");
    match orders {
        Some(orders) => table(out, &orders),
        None => out.push_str("SEEN, ORDERS, HOLDERS, WRITERS = [], [], {}, set()\n\n"),
    }
    at_rest(out, told);
    out.push_str("\n\nif __name__ == \"__main__\":\n    main()\n");
    Ok(())
}

/// The steps as functions, and who does which.
fn steps(out: &mut String, program: &Program, left_out: &[usize], said: &[Expect]) {
    let mut before = String::new();
    let mut lanes = vec![String::new(); program.threads().into()];
    for (at, (step, said)) in program.steps.iter().zip(said).enumerate() {
        let (number, text) = (at + 1, string(&step.threaded()));
        let Some(thread) = step.thread else {
            if *said == Expect::Skipped {
                let _ = writeln!(out, "\n\n# step {number}, skipped: {}", step.threaded());
            } else {
                function(out, &number.to_string(), step);
                let _ = writeln!(before, "    ({number}, {text}, step_{number}, {}),", expected(said));
            }
            continue;
        };
        if left_out.contains(&at) {
            let _ = writeln!(out, "\n\n# step {number}, left out: {}", step.threaded());
            continue;
        }
        function(out, &number.to_string(), step);
        let lane = &mut lanes[usize::from(thread)];
        let _ = writeln!(lane, "        ({number}, {text}, step_{number}, {}),", needs(step));
    }
    let lanes: String = lanes.iter().map(|lane| format!("    [\n{lane}    ],\n")).collect();
    let _ = write!(
        out,
        "\n\n# What is done before the threads start.\nBEFORE = [\n{before}]\n\
         # What each thread does, and what slots must be filled for it.\nLANES = [\n{lanes}]\n"
    );
}

/// The slots that must be filled for a step to run.
fn needs(step: &Step) -> String {
    let mut slots = Vec::new();
    step.find_needed(|slot| {
        slots.push(slot);
        false
    });
    let all: String = slots.iter().map(|slot| format!("\"{slot}\", ")).collect();
    format!("({})", all.trim_end())
}

/// All orders, as `judge` of the script takes them.
fn table(out: &mut String, orders: &Orders) {
    let mut seen = BTreeMap::new();
    let mut rows = String::new();
    for moment in &orders.moments {
        let mut ways = Vec::new();
        for way in &moment.ways {
            let next = seen.len();
            let sees = *seen.entry(sight(&way.sees)).or_insert(next);
            let refused = way.refused.map_or_else(|| "None".to_owned(), |to| to.to_string());
            ways.push(format!("{}: ({sees}, {}, {refused})", way.thread, way.to));
        }
        let left = moment.left.iter().map(|(slot, left)| format!("\"{slot}\": {}", picture(left)));
        let left: Vec<_> = left.collect();
        let _ = writeln!(rows, "    ({{{}}}, {{{}}}),", ways.join(", "), left.join(", "));
    }
    let mut sights: Vec<_> = seen.into_iter().map(|(sight, place)| (place, sight)).collect();
    sights.sort_unstable();
    let sights: String = sights.iter().map(|(_, sight)| format!("    {sight},\n")).collect();
    let _ = write!(
        out,
        "SEEN = [\n{sights}]\n\
         # Moments between steps: the next step of each thread, by its number, as what it sees, the moment after it, and\n\
         # the one after it if it was refused since another step held its object; and at last what slots hold.\n\
         ORDERS = [\n{rows}]\n"
    );
    let set = |places: &[usize]| {
        let numbers: Vec<_> = places.iter().map(|place| (place + 1).to_string()).collect();
        numbers.join(", ")
    };
    let held = orders.holders.iter().enumerate().filter(|(_, holders)| !holders.is_empty());
    let held: Vec<_> = held.map(|(place, holders)| format!("{}: {{{}}}", place + 1, set(holders))).collect();
    let writers: Vec<_> = (0..orders.writers.len()).filter(|&place| orders.writers[place]).collect();
    let _ = write!(
        out,
        "# Which steps hold an object of a step as long as they run, and which write in place.\n\
         HOLDERS = {{{}}}\nWRITERS = {{*[{}]}}\n\n",
        held.join(", "),
        set(&writers)
    );
}

/// What a step may see, as the script takes it.
fn sight(outcome: &Outcome) -> String {
    match outcome {
        // The model leaves it out, and the threads do not ask.
        Outcome::Skipped(Skip::TooLong | Skip::Machine) => "(\"unknown\", None)".to_owned(),
        Outcome::Value(Value::HashOf(_) | Value::HashOfSlot(_)) => "(\"hash\", None)".to_owned(),
        outcome => expected(&outcome.expectation()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::script;
    use crate::program::parse::parse;
    use crate::subject::Version;

    #[test]
    fn a_race_is_held_against_all_orders_of_its_steps() {
        let lines = "b0 = bytearray(b\"ab\")\nv0 = memoryview(b0)\nT0: v0.release()\nT0: b0[0] = 7\nT1: b0.clear()\n\
                     T1: zlib.crc32(b0)\n";
        let program = parse(&format!("# buflock program 1\n# schedule concurrent\n{lines}")).unwrap();
        let script = script(&program, None, &[], Version::NEWEST, "Python 3.15.0").unwrap();
        let steps = &script[script.find("\ndef step_1").unwrap()..];
        insta::assert_snapshot!(steps.trim());
    }
}
