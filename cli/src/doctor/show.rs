//! An examination for a person: a line for each check, and what mends it below.

use std::fmt::{self, Write as _};

use super::{Check, Examination, Verdict};
use crate::command::paint::{BAD, FAINT, GOOD, HEADING, WARNING, paint, wrap};

/// The examination as text, with colours.
#[must_use]
pub fn text(examination: &Examination) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, examination);
    text
}

fn write(to: &mut String, examination: &Examination) -> fmt::Result {
    for check in &examination.checks {
        line(to, check)?;
    }
    let count = |verdict| examination.checks.iter().filter(|check| check.verdict == verdict).count();
    let [good, warnings, unknown, broken] =
        [Verdict::Good, Verdict::Warning, Verdict::Unknown, Verdict::Broken].map(count);
    let text = format!("{good} good, {warnings} to think about, {broken} broken, {unknown} not looked at");
    writeln!(to, "\n{}", paint(HEADING, text))
}

fn line(to: &mut String, check: &Check) -> fmt::Result {
    let Check { check, of, verdict, found, remedy } = check;
    let (sign, style) = match verdict {
        Verdict::Good => ("✓", GOOD),
        Verdict::Warning => ("!", WARNING),
        Verdict::Unknown => ("?", WARNING),
        Verdict::Broken => ("✗", BAD),
    };
    let of = of.as_ref().map_or_else(String::new, |of| format!(" {of}"));
    let said = format!("{check}{of}: {found}");
    let lines = wrap(&said, "  ");
    let (first, rest) = lines
        .split_first()
        .map_or((said.as_str(), [].as_slice()), |(first, rest)| (first.trim_start(), rest));
    writeln!(to, "{} {first}", paint(style, sign))?;
    rest.iter().try_for_each(|line| writeln!(to, "{line}"))?;
    remedy
        .iter()
        .flat_map(|remedy| wrap(remedy, "    "))
        .try_for_each(|line| writeln!(to, "{}", paint(FAINT, line)))
}
