//! A race for people: what each thread did when, in what order the model explains it, and where no step fits any more.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::check::Frequency;
use crate::judge::{Difference, Verdict};
use crate::program::{Program, Schedule};

/// What is known of a race, as it crosses from process to process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Race {
    /// In how many runs the difference showed, of how many.
    pub shown: Frequency,
    /// What the threads did in the run that is told; nothing, if it was at rest that it differed.
    pub acts: Vec<Act>,
    /// The longest order that the model explains, by places in `acts`.
    pub longest: Vec<usize>,
}

/// A step of a thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// The thread.
    pub thread: u8,
    /// When it was begun and when it had ended: in nanoseconds, or in turns.
    pub times: [u64; 2],
    /// The step, by its place in the program.
    pub step: usize,
    /// What it saw.
    pub saw: String,
}

impl Race {
    /// What a verdict says of it.
    pub fn new(shown: Frequency, verdict: &Verdict) -> Race {
        let (Verdict::Diverge(told) | Verdict::Permitted(_, told)) = verdict else {
            return Race { shown, acts: Vec::new(), longest: Vec::new() };
        };
        let Difference::Race { events, longest, .. } = &told.difference else {
            return Race { shown, acts: Vec::new(), longest: Vec::new() };
        };
        let acts = events.iter().map(|event| Act {
            thread: event.thread,
            times: [event.begun, event.ended],
            step: event.call,
            saw: event.seen.to_string(),
        });
        // Behind the steps are looks at what is there at last, which are no steps.
        let longest = longest.iter().copied().filter(|&place| place < events.len()).collect();
        Race { shown, acts: acts.collect(), longest }
    }

    /// What happened when, a column of so many characters for each thread, and how far an order explains it.
    pub fn draw(&self, program: &Program, column: usize) -> String {
        if self.acts.is_empty() {
            return String::new();
        }
        let unit = if program.schedule == Schedule::Concurrent { "us" } else { "turn" };
        let lanes = self.acts.iter().map(|act| usize::from(act.thread) + 1).max().unwrap_or(0);
        let mut out = format!("{unit:>9}");
        for lane in 0..lanes {
            let _ = write!(out, "  {:<column$}", format!("T{lane}"));
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        let mut moments: Vec<_> = self.acts.iter().flat_map(|act| [(false, act), (true, act)]).collect();
        // Who ends at the time at which another one begins was there with it.
        moments.sort_by_key(|(end, act)| (act.times[usize::from(*end)], *end));
        let mut busy = vec![false; lanes];
        for (end, act) in moments {
            let own = usize::from(act.thread);
            let time = act.times[usize::from(end)];
            let time = if unit == "us" {
                format!("{}.{}", time / 1000, time % 1000 / 100)
            } else {
                time.to_string()
            };
            let _ = write!(out, "{time:>9}");
            for (lane, busy) in busy.iter().enumerate() {
                let cell = match (lane == own, end) {
                    (true, false) => format!("┌{:>3} {}", act.step + 1, program.steps[act.step].guarded()),
                    (true, true) => format!("└ {}", act.saw),
                    (false, _) => if *busy { "│" } else { "" }.to_owned(),
                };
                let _ = write!(out, "  {:<column$}", super::terminal::cut(&cell, column));
            }
            busy[own] = !end;
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        let number = |place: &usize| (self.acts[*place].step + 1).to_string();
        let order: Vec<_> = self.longest.iter().map(number).collect();
        let rest = (0..self.acts.len()).filter(|place| !self.longest.contains(place));
        let rest: Vec<_> = rest.map(|place| number(&place)).collect();
        let _ = writeln!(out, "the longest order that the model explains: {}", order.join(" "));
        let left = match rest.is_empty() {
            true => "what the objects hold at last does not fit".to_owned(),
            false => format!("none of {} fits", rest.join(" ")),
        };
        let _ = writeln!(out, "after it, {left}");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::parse::parse;

    #[test]
    fn a_race_is_drawn_with_a_column_for_each_thread_and_the_order_that_explains_it() {
        let program = parse(
            "# buflock program 1\n# schedule concurrent\nb0 = bytearray(b\"abc\")\nv0 = memoryview(b0)\n\
             T0: v0.release()\nT1: b0.append(1)\nT1: len(b0)\n",
        )
        .unwrap();
        let act = |thread, times, step, saw: &str| Act { thread, times, step, saw: saw.to_owned() };
        let race = Race {
            shown: Frequency { times: 20, runs: 31 },
            acts: vec![
                act(0, [100, 1_900], 2, "None"),
                act(1, [600, 1_200], 3, "None"),
                act(1, [1_300, 2_400], 4, "3"),
            ],
            longest: vec![0, 1],
        };
        insta::assert_snapshot!(race.draw(&program, 22));
    }
}
