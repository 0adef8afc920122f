//! The command line: what was typed, to what happens, to how it ends.

mod args;
mod error;
mod files;
mod findings;
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

/// Does what was typed.
pub fn main() -> ExitCode {
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
    }
}
