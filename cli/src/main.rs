//! The command `buflock`: what was typed, to what happens, to how it ends.
//!
//! There is no Python in this process, nor in what builds it: it starts, and can say what is missing, without one.
//! What embeds Python is `buflock-worker`, of which it starts one per core.

mod args;
mod crew;
mod doctor;
mod error;
#[cfg(feature = "faults")]
mod faults;
mod files;
mod findings;
mod fuzz;
mod live;
mod locate;
mod output;
mod pool;
mod probing;
mod python;
mod replay;
mod run;
mod show;
mod start;
mod stop;
mod summary;
mod worker;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use error::{Ending, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.command) {
        Ok(ending) => {
            if ending == Ending::NothingRan {
                eprintln!("nothing ran");
            }
            ending.into()
        }
        Err(failure) => {
            eprintln!("{failure}");
            failure.ending.into()
        }
    }
}

fn dispatch(command: Option<Command>) -> Result<Ending, Failure> {
    match command {
        None => match Cli::parse_from(["buflock", "run"]).command {
            Some(Command::Run(args)) => run::run(&args),
            _ => Err(Failure::usage("there is no command", "buflock run")),
        },
        Some(Command::Run(args)) => run::run(&args),
        Some(Command::Replay(args)) => replay::replay(&args),
        Some(Command::Show(args)) => show::show(&args),
        Some(Command::Shrink(args)) => show::shrink(&args),
        Some(Command::Repro(args)) => show::repro(&args),
        Some(Command::Fuzz(args)) => fuzz::fuzz(&args),
        Some(Command::Doctor(args)) => doctor::doctor(&args),
        Some(Command::Python(args)) => python::python(&args),
        #[cfg(feature = "faults")]
        Some(Command::Faults(args)) => faults::faults(&args),
    }
}
