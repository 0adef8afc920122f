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
pub use tools::symbolizer;

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

/// What builds a Python with this sanitizer, if it is there.
pub fn look_for_tools(sanitizer: Sanitizer) -> Result<String, Failure> {
    tools::Tools::find(sanitizer).map(|tools| tools.version)
}

/// Whether there is room to build one.
pub fn look_for_room() -> Result<String, Failure> {
    let cache = cache::Cache::open()?;
    tools::look_for_room(cache.root()).map(|free| format!("{free} MB left in {}", cache.root().display()))
}

/// Lets a Python do what its sanitizer must see, and count what it covers.
pub fn sing(built: &Built) -> Result<String, Failure> {
    let tools = tools::Tools::find(built.facts.sanitizer)?;
    let scratch = tempfile::tempdir().map_err(|error| {
        Failure::environment(format!("failed to make a folder for temporary files: {error}"), "set TMPDIR")
    })?;
    let again = |why| {
        let what = format!("{} is of no use: {why}", built.facts.id);
        Failure::environment(what, format!("buflock python rm {}, and build it again", built.facts.id))
    };
    let links = built.links().map_err(again)?;
    let edges = canary::sing(&links.nest(built), &tools, scratch.path()).map_err(again)?;
    Ok(format!("{edges} edges can be counted, and are"))
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
