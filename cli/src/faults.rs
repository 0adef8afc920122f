//! `buflock faults`: plants each fault in the Rust exporters, and looks how long it takes to find it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use buflock::exporter::{Fault, Needs, plant, planted};
use buflock::hunt;
use serde::Serialize;

use super::args::{Faults, Format};
use super::error::{Ending, Failure};
use super::{locate, output};

/// The table, as JSON has it.
#[derive(Debug, Serialize)]
struct Table {
    faults: Vec<Row>,
}

/// A fault, and how it was looked for.
#[derive(Debug, Serialize)]
struct Row {
    name: &'static str,
    way: &'static str,
    seeds: Vec<Found>,
}

/// What a seed came to.
#[derive(Debug, Serialize)]
struct Found {
    seed: u64,
    found: bool,
    seconds: f64,
    /// Programs, or where loom is the way, kernels.
    programs: u64,
}

/// What runs the exporters that have a fault.
fn way(fault: Fault) -> &'static str {
    match fault.needs() {
        Needs::Steps => "lockstep",
        Needs::Turns => "explored",
        Needs::Kernels => "loom",
    }
}

/// `buflock faults`
pub fn faults(args: &Faults) -> Result<Ending, Failure> {
    let limit = Duration::from_secs_f64(args.seconds);
    let chosen = |fault: &&Fault| args.faults.is_empty() || args.faults.contains(fault);
    let mut table = Table { faults: Vec::new() };
    // A panic is one of the ways in which a fault shows.
    std::panic::set_hook(Box::new(|_| ()));
    for &fault in Fault::ALL.iter().filter(chosen) {
        let look = |seed| look_for(fault, seed, limit);
        let seeds = (0..u64::from(args.seeds)).map(look).collect::<Result<Vec<_>, _>>()?;
        let row = Row { name: fault.name(), way: way(fault), seeds };
        if args.format == Format::Human {
            output::print(&row.text())?;
        }
        table.faults.push(row);
    }
    drop(std::panic::take_hook());
    if args.format == Format::Json {
        let json = serde_json::to_string(&table).expect("a table can be written");
        output::print(&format!("{json}\n"))?;
    }
    let all = table.faults.iter().flat_map(|row| &row.seeds).all(|seed| seed.found);
    Ok(if all { Ending::Clean } else { Ending::Findings })
}

impl Row {
    /// One line, to read.
    fn text(&self) -> String {
        let seeds = self.seeds.iter().map(|seed| match seed.found {
            true => format!("{:7.2} s {:6}", seed.seconds, seed.programs),
            false => format!("{:>7}   {:6}", "-", seed.programs),
        });
        format!("{:30} {:9} {}\n", self.name, self.way, seeds.collect::<Vec<_>>().join(" "))
    }
}

fn look_for(fault: Fault, seed: u64, limit: Duration) -> Result<Found, Failure> {
    if fault.needs() == Needs::Kernels {
        return ask_loom(fault, seed);
    }
    let begun = Instant::now();
    let goes_on = |_| begun.elapsed() < limit;
    plant(Some(fault));
    let hunt = match fault.needs() {
        Needs::Steps => hunt::lockstep(seed, goes_on),
        _ => hunt::explored(seed, goes_on),
    };
    plant(None);
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Found { seed, found: hunt.found.is_some(), seconds, programs: hunt.programs })
}

/// Whether a kernel of loom's fails, and how many were run. loom tries all orders, so that every seed is the same to it.
fn ask_loom(fault: Fault, seed: u64) -> Result<Found, Failure> {
    const PROOF: [&str; 5] = ["test", "-p", "buflock", "--lib", planted::PROOF];
    let next = format!(
        "LOOM_MAX_PREEMPTIONS=2 {}={fault} RUSTFLAGS=\"--cfg loom\" cargo {}",
        planted::WITHOUT,
        PROOF.join(" ")
    );
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let Some(folder) = locate::checkout() else {
        let next = "cargo run --release --features faults -- faults";
        return Err(Failure::environment("loom is asked in a checkout alone", next));
    };
    let run = |more: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(PROOF).args(more).current_dir(folder).stdin(Stdio::null());
        command.env("RUSTFLAGS", "--cfg loom").env(planted::WITHOUT, fault.name());
        // So many are enough to miss whatever is missing, and take seconds.
        command.env("LOOM_MAX_PREEMPTIONS", "2");
        // What `cargo run` has built stays.
        command.env("CARGO_TARGET_DIR", folder.join("../target/loom"));
        let output = command.output();
        output.map_err(|error| Failure::environment(format!("failed to start cargo: {error}"), next.clone()))
    };
    let built = run(&["--no-run"])?;
    let begun = Instant::now();
    let output = run(&["--", "--exact", "--nocapture"])?;
    let said = String::from_utf8_lossy(&output.stdout);
    let programs = said.lines().filter(|line| line.starts_with("kernel ")).count() as u64;
    if programs == 0 {
        let why = String::from_utf8_lossy(&built.stderr);
        return Err(Failure::environment(format!("loom ran nothing\n{why}"), next));
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Found { seed, found: !output.status.success(), seconds, programs })
}
