//! An explanation for a person: 80 columns, times as they are here and in UTC.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use jiff::tz::TimeZone;
use shared::clock::Timestamp;

use super::{Entry, Explanation, Link, Mark, Standing};
use crate::command::paint::{BAD, FAINT, GOOD, HEADING, WARNING, WIDTH, paint, wrap};

/// What is due for longer than this no sweep has seen, and there should be one each minute.
const SWEEPS_APART: Duration = Duration::from_mins(5);

/// The explanation as text, with colours, for somebody in `zone`.
#[must_use]
pub fn text(explanation: &Explanation, zone: &TimeZone) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, explanation, zone);
    text
}

fn write(to: &mut String, explanation: &Explanation, zone: &TimeZone) -> fmt::Result {
    let Explanation { conversation_sid, at, chain, story, standing } = explanation;
    writeln!(
        to,
        "{}  {}",
        paint(HEADING, conversation_sid),
        paint(FAINT, format!("at {}", both(*at, zone)))
    )?;
    writeln!(to)?;
    for Link { question, mark, answer } in chain {
        let (sign, style) = match mark {
            Mark::Yes => ("✓", GOOD),
            Mark::No => ("✗", BAD),
            Mark::NotYet => ("·", FAINT),
            Mark::Unknown => ("?", WARNING),
        };
        writeln!(to, "{} {question}", paint(style, sign))?;
        wrap(answer, "    ").iter().try_for_each(|line| writeln!(to, "{line}"))?;
    }
    writeln!(to, "\n{}", paint(HEADING, "What happened"))?;
    told(to, story, zone)?;
    let Standing { state, says, acts, heals, looks_again_at } = standing;
    writeln!(to, "\n{}", paint(HEADING, "Where it stands"))?;
    let style = if state.is_broken() { BAD } else { GOOD };
    for line in wrap(says, "  ") {
        writeln!(to, "{}", paint(style, line))?;
    }
    writeln!(to, "  Who acts:   {}", acts.as_str())?;
    match looks_again_at {
        Some(due) if *due + SWEEPS_APART < *at => {
            writeln!(
                to,
                "  {}",
                paint(BAD, format!("Due since {}: does orphan-sweeper run?", both(*due, zone)))
            )?;
        }
        Some(due) => {
            let what =
                if due <= at { "The next sweep sees to it: due since" } else { "flexglue looks again at" };
            writeln!(to, "  {what} {}", both(*due, zone))?;
        }
        None => {}
    }
    if let Some(command) = heals {
        writeln!(to, "  To heal it: {}", paint(HEADING, command))?;
    }
    Ok(())
}

/// The story: a line for each day, and below it the times.
fn told(to: &mut String, story: &[Entry], zone: &TimeZone) -> fmt::Result {
    if story.is_empty() {
        return writeln!(to, "  nothing that anybody remembers");
    }
    let mut day = String::new();
    for Entry { at, source, what } in story {
        let there = zoned(*at, &TimeZone::UTC);
        let here = zoned(*at, zone);
        let today = there.strftime("%Y-%m-%d").to_string();
        if today != day {
            let offset = here.strftime("%:z");
            writeln!(to, "  {}", paint(FAINT, format!("{today}  UTC        here ({offset})")))?;
            day = today;
        }
        let source = source.as_str();
        let times = format!("{}  {}", there.strftime("%H:%M:%S"), here.strftime("%H:%M:%S"));
        let (first, rest) = ("    ".to_owned(), " ".repeat(4 + 8 + 2 + 8 + 2 + 12));
        let mut lines = textwrap::wrap(what, WIDTH - rest.len()).into_iter();
        let line = lines.next().unwrap_or_default();
        writeln!(to, "{first}{}  {source:<12}{line}", paint(FAINT, times))?;
        lines.try_for_each(|line| writeln!(to, "{rest}{line}"))?;
    }
    Ok(())
}

fn zoned(at: Timestamp, zone: &TimeZone) -> jiff::Zoned {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    // A time that no calendar has is none of ours.
    jiff::Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(zone.clone())
}

/// A time in UTC and here.
fn both(at: Timestamp, zone: &TimeZone) -> String {
    let there = zoned(at, &TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    format!("{there}, {} here", zoned(at, zone).strftime("%H:%M:%S"))
}
