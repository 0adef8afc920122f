//! Which Python: the one that PyO3 takes, or one that `buflock python build` has made.

mod build;
mod cache;
mod canary;
mod interpreter;
mod recipe;
mod source;
mod tools;

use super::args::Python as Args;
use super::error::{Ending, Failure};
use super::output;

pub use cache::Built;
pub use interpreter::{Python, find};
pub use recipe::Sanitizer;

/// `buflock python`
pub fn python(args: &Args) -> Result<Ending, Failure> {
    match args {
        Args::Build(args) => build::build(args),
        Args::List => list(),
        Args::Rm { ids } => remove(ids),
    }
}

/// The one that a user names by its id, or by the beginning of it.
pub fn named(id: &str) -> Result<Built, Failure> {
    cache::Cache::open()?.find(id)
}

fn list() -> Result<Ending, Failure> {
    let cache = cache::Cache::open()?;
    let built = cache.all()?;
    for built in &built {
        let megabytes = cache::size(&built.folder) >> 20;
        let what =
            format!("{} from {}, by {}", built.facts.words(), built.facts.source, built.facts.compiler);
        output::print(&format!(
            "{}\n    {what}; {megabytes} MB in {}\n",
            built.facts.id,
            built.folder.display()
        ))?;
    }
    if built.is_empty() {
        eprintln!(
            "there is none in {}\n  next: buflock python build --version 3.13.13 --free-threaded",
            cache.root().display()
        );
        return Ok(Ending::NothingRan);
    }
    Ok(Ending::Clean)
}

fn remove(ids: &[String]) -> Result<Ending, Failure> {
    let cache = cache::Cache::open()?;
    for id in ids {
        let built = cache.find(id)?;
        cache.remove(&built)?;
        output::print(&format!("removed {}\n", built.facts.id))?;
    }
    Ok(Ending::Clean)
}
