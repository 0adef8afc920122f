//! What a run ends with: the new findings, made small, and the figures.

use std::path::Path;

use buflock::program::parse;
use buflock::report::Finding;
use buflock::report::json::Summary;

use super::error::Failure;
use super::findings::Findings;
use super::live::mix;
use super::probing::{Facts, Prober};
use super::stop::Stop;
use super::worker::Recipe;
use super::{output, show};

/// How many findings are shrunk and shown in full; all are saved.
const SHOWN: usize = 5;

/// Shrinks the new findings, saves them again, and reports them. The text is for standard output.
pub fn report(
    recipe: &Recipe,
    facts: &Facts,
    findings: &mut Findings,
    stop: &Stop,
    folder: &Path,
) -> Result<String, Failure> {
    let mut out = String::new();
    let fresh = findings.fresh();
    let mut prober = Prober::new(recipe, facts, None, stop);
    for finding in fresh.iter().take(SHOWN) {
        let small = if stop.wanted() { finding.clone() } else { shrink(&mut prober, finding)? };
        if small != *finding {
            findings.save(small.clone())?;
        }
        let path = findings.path(&small.told.signature);
        out.push_str(&show::finding(&mut prober, &small, &path)?);
        out.push('\n');
    }
    if fresh.len() > SHOWN {
        out.push_str(&format!(
            "{} more new findings are saved in {}:\n",
            fresh.len() - SHOWN,
            folder.display()
        ));
        for finding in &fresh[SHOWN..] {
            out.push_str(&format!("  buflock show {}\n", findings.path(&finding.told.signature).display()));
        }
        out.push('\n');
    }
    Ok(out)
}

fn shrink(prober: &mut Prober<'_>, finding: &Finding) -> Result<Finding, Failure> {
    match parse::parse(&finding.program) {
        Ok(program) => prober.shrunk(finding, &program),
        Err(_) => Ok(finding.clone()),
    }
}

/// Prints the reports and the figures.
pub fn print(summary: &Summary, reports: String, json: bool) -> Result<(), Failure> {
    let Summary { verdicts, findings, python, .. } = summary;
    let threaded = if python.free_threaded { ", free-threaded" } else { "" };
    let debug = if python.debug { ", debug" } else { "" };
    let mut text = reports;
    text.push_str(&format!(
        "Python {}{threaded}{debug}, seed {}\n{} programs, {} steps in {:.1} s: {:.0} programs/s, {:.0} steps/s, {:.0} MB\n",
        python.version,
        summary.seed,
        summary.programs,
        summary.steps,
        summary.seconds,
        summary.programs_per_second,
        summary.steps_per_second,
        summary.peak_rss_mb,
    ));
    text.push_str(&format!("outcomes: {}\n", mix(summary, 6)));
    text.push_str(&format!(
        "verdicts: {} agree, {} diverge, {} permitted, {} inconclusive\nfindings: {} new, {} known{}\n",
        verdicts.agree,
        verdicts.diverge,
        verdicts.permitted,
        verdicts.inconclusive,
        findings.new,
        findings.known,
        if findings.known > 0 { " (in the catalogue, or saved before: no failure)" } else { "" }
    ));
    if json {
        let line = serde_json::to_string(summary).map_err(|error| {
            Failure::environment(format!("failed to write the summary: {error}"), "buflock run")
        })?;
        text.push_str(&line);
        text.push('\n');
    }
    output::print(&text)
}
