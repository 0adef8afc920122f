//! A script that lets threads race until what they see has no order.
//!
//! There is no model in it. What the model says of each order of the steps stands in a table ([`orders`]), in which the
//! script looks for one that time allows.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{PRELUDE, TooManyOrders, at_rest, expected, function, imports, picture, string};
use crate::history::{Outcome, Skip, Value};
use crate::judge::orders::{Orders, orders};
use crate::program::guard::{Guard, passages};
use crate::program::{Expect, Program, Step, limits};
use crate::report::{Place, Told, expectations};
use crate::subject::{Model, Version};

/// What such a script does that no program decides.
const RACE: &str = include_str!("race.py");

/// The modules that it takes for that.
const MODULES: [&str; 6] = ["os", "queue", "random", "subprocess", "threading", "time"];

/// The rest of the script, of which the head is there.
pub(super) fn script(
    out: &mut String,
    program: &Program,
    told: Option<&Told>,
    version: Version,
) -> Result<(), TooManyOrders> {
    let said = &expectations(program, version);
    // What ends a process, or is to be seen at rest, no order is asked about.
    let by_orders = told.is_none_or(|told| matches!(told.place, Place::Outcome | Place::State(_)));
    let orders = if by_orders {
        let mut before = Model::new(version);
        before.follow(program);
        let starts = program.steps.iter().filter(|step| step.thread.is_none());
        starts.for_each(|step| drop(before.step(step)));
        Some(orders(&before, program).ok_or(TooManyOrders)?)
    } else {
        None
    };
    imports(out, program, said, &MODULES);
    out.push_str(PRELUDE);
    out.push_str(RACE);
    steps(out, program, said);
    out.push_str("\n# What steps may see.\n");
    match orders {
        Some(orders) => table(out, &orders),
        None => out.push_str("SEEN, ORDERS, HOLDERS, READERS = [], [], {}, {}\n\n"),
    }
    at_rest(out, told);
    out.push_str("\n\nif __name__ == \"__main__\":\n    main()\n");
    Ok(())
}

/// The steps as functions, and who does which.
fn steps(out: &mut String, program: &Program, said: &[Expect]) {
    let passages = passages(&program.steps);
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
        function(out, &number.to_string(), step);
        let name = |lock: Option<u8>| lock.map_or_else(|| "None".to_owned(), |lock| format!("m{lock}"));
        let (takes, leaves) = (name(passages[at].takes), name(passages[at].leaves));
        let row = format!("        ({number}, {text}, step_{number}, {}, {takes}, {leaves}),\n", needs(step));
        for (lane, rows) in lanes.iter_mut().enumerate() {
            let gather = if step.guard == Guard::Barrier { "        GATHER,\n" } else { "" };
            let own = if lane == usize::from(thread) { &*row } else { "" };
            rows.extend([gather, own, gather]);
        }
    }
    let lanes: String = lanes.iter().map(|lane| format!("    [\n{lane}    ],\n")).collect();
    let _ = write!(out, "\n\n# What is done before the threads start.\nBEFORE = [\n{before}]\n");
    for lock in 0..limits::LOCKS {
        let _ = writeln!(out, "m{lock} = threading.Lock()");
    }
    let _ = write!(
        out,
        "# What each thread does, what slots must be filled for it, and which lock it takes before and leaves after.\n\
         LANES = [\n{lanes}]\n"
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
    let _ = write!(
        out,
        "# Which steps hold an object of a step as long as they run, and which may see bytes that it writes.\n\
         HOLDERS = {}\nREADERS = {}\n\n",
        others(&orders.holders),
        others(&orders.readers)
    );
}

/// For each step, by its number, those of others.
fn others(of: &[Vec<usize>]) -> String {
    let row = |(place, others): (usize, &Vec<usize>)| {
        let numbers: Vec<_> = others.iter().map(|place| (place + 1).to_string()).collect();
        (!others.is_empty()).then(|| format!("{}: {{{}}}", place + 1, numbers.join(", ")))
    };
    let rows: Vec<_> = of.iter().enumerate().filter_map(row).collect();
    format!("{{{}}}", rows.join(", "))
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
        let lines = "b0 = bytearray(b\"ab\")\nv0 = memoryview(b0)\nT0: with m0: v0.release()\n\
                     T0: with m0: b0[0] = 7\nT1: b0.clear()\nT1: zlib.crc32(b0)\nT0: barrier: len(b0)\n";
        let program = parse(&format!("# buflock program 1\n# schedule concurrent\n{lines}")).unwrap();
        let script = script(&program, None, &[], Version::NEWEST, "Python 3.15.0").unwrap();
        let steps = &script[script.find("\ndef step_1").unwrap()..];
        insta::assert_snapshot!(steps.trim());
    }
}
