//! Reading fields, and remembering which of them were wrong.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use super::super::verified::Verified;
use crate::personal::Personal;

/// Which fields of a signed event are missing or wrong. Their values are not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedEventFields {
    names: Vec<&'static str>,
}

impl MalformedEventFields {
    /// The names of the fields.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }
}

impl fmt::Display for MalformedEventFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing or wrong in the event: {}", self.names.join(", "))
    }
}

impl std::error::Error for MalformedEventFields {}

/// The fields of an event, and the names of those that were found wrong so far.
pub(super) struct Fields<'a> {
    verified: &'a Verified,
    wrong: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(verified: &'a Verified) -> Self {
        Self { verified, wrong: vec![] }
    }

    /// The event, unless it could not be read.
    pub(super) fn finish<T>(self, event: Option<T>) -> Result<T, MalformedEventFields> {
        match event {
            Some(event) if self.wrong.is_empty() => Ok(event),
            _ => Err(MalformedEventFields { names: self.wrong }),
        }
    }

    /// A field that must be there, under the first of `names` that is.
    pub(super) fn required<T: FromStr>(&mut self, names: &[&'static str]) -> Option<T> {
        self.parsed(names, true)
    }

    /// A field that may be missing but not wrong, under the first of `names` that is there.
    pub(super) fn optional<T: FromStr>(&mut self, names: &[&'static str]) -> Option<T> {
        self.parsed(names, false)
    }

    /// A field that must be there, as it is.
    pub(super) fn required_text(&mut self, name: &'static str) -> Option<String> {
        self.required(&[name])
    }

    /// A field that only adds to the event: left out when it cannot be read.
    pub(super) fn lenient<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// A text about a person. An empty one is none.
    pub(super) fn personal(&self, name: &str) -> Option<Personal<String>> {
        self.lenient::<String>(name).map(Personal)
    }

    /// A JSON object, or its text. Anything else is an empty one: attributes are what developers made of
    /// them, and no reason to lose a message.
    pub(super) fn attributes(&self, name: &str) -> Personal<Map<String, Value>> {
        let attributes = self.text(name).and_then(|text| serde_json::from_str(text).ok());
        Personal(attributes.unwrap_or_default())
    }

    fn parsed<T: FromStr>(&mut self, names: &[&'static str], required: bool) -> Option<T> {
        let found = names.iter().copied().find(|name| self.text(name).is_some());
        let name = match (found, names.first()) {
            (Some(name), _) => name,
            (None, Some(first)) => {
                if required {
                    self.wrong.push(first);
                }
                return None;
            }
            (None, None) => return None,
        };
        let value = self.unrepeated(name).and_then(|text| text.parse().ok());
        if value.is_none() {
            self.wrong.push(name);
        }
        value
    }

    /// The value of a field on which something depends. If it comes twice with different values there is
    /// none: the signature does not cover their order, so whoever passes the request on could choose.
    fn unrepeated(&self, name: &'static str) -> Option<&'a str> {
        let first = self.verified.field(name)?;
        self.verified.all(name).all(|value| value == first).then_some(first)
    }

    /// An empty value is none: that is how a form writes null.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.verified.field(name).filter(|text| !text.is_empty())
    }
}
