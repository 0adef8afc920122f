//! Standard output and its properties.

use std::io::{IsTerminal, Write};
use std::path::Path;

use buflock::report::terminal::Look;

use super::error::Failure;
use super::findings::write_whole;

/// Prints results. A reader that goes early, such as `head`, is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::file("write to", Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}

/// To a file, or to standard output without one.
pub fn to(out: Option<&Path>, text: &str) -> Result<(), Failure> {
    match out {
        Some(path) => write_whole(path, text.as_bytes()),
        None => print(text),
    }
}

/// How reports look here.
pub fn look() -> Look {
    let colour = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let known = columns.or_else(|| {
        let out = std::io::stdout();
        out.is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&out).ok())
            .flatten()
            .map(|size| usize::from(size.ws_col))
    });
    Look { colour, width: known.filter(|&width| width > 0).unwrap_or(100) }
}
