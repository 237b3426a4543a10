//! Colours, where a person looks: `anstream` takes them out where the output is no terminal or `NO_COLOR` is
//! set.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What was as expected.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What was not.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What nobody knows.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
/// A heading.
pub(crate) const HEADING: Style = Style::new().bold();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// `text` in a style.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
