//! Colours, where a person looks: `anstream` takes them out where the output is no terminal or `NO_COLOR` is
//! set.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// What was as expected.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What was not.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// A heading.
pub(super) const HEADING: Style = Style::new().bold();
/// What matters less.
pub(super) const FAINT: Style = Style::new().dimmed();

/// `text` in a style.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
