//! The command `buflock`.
//!
//! There is no Python in this process: it starts, and can say what is missing, without one. What
//! embeds Python is `buflock-worker`, of which it starts one per core.

mod cli;
mod protocol;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
