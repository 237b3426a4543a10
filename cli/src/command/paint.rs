//! Colours, where a person looks: `anstream` takes them out where the output is no terminal or `NO_COLOR` is
//! set. And lines that fit their screen.

use std::{borrow::Cow, fmt::Display};

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

/// The widest line.
pub(crate) const WIDTH: usize = 80;

/// Lines of a text, each as far in. What is one word, such as a URL, is not broken: it is to be copied.
pub(crate) fn wrap(text: &str, indent: &str) -> Vec<String> {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::wrap(text, options).into_iter().map(Cow::into_owned).collect()
}
