//! Strict reading of parameters. The real API ignores what it does not know; here a misspelt name is
//! refused, so that a test finds it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::answer::Refusal;
use crate::sids::is_sid;

/// The parameters that Twilio publishes for one route.
pub(crate) struct Published {
    pub(crate) required: &'static [&'static str],
    pub(crate) optional: &'static [&'static str],
    /// Those that may be given more than once.
    pub(crate) repeated: &'static [&'static str],
}

/// A route without parameters.
pub(crate) const NONE: Published = Published { required: &[], optional: &[], repeated: &[] };

/// A list without filters.
pub(crate) const PAGING: Published =
    Published { required: &[], optional: &["PageSize", "Page", "PageToken"], repeated: &[] };

impl Published {
    /// Checks `given` against the table.
    pub(crate) fn read<'a>(&self, given: &'a [(String, String)]) -> Result<Parameters<'a>, Refusal> {
        let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, value) in given {
            let name = name.as_str();
            let once = self.required.contains(&name) || self.optional.contains(&name);
            if !once && !self.repeated.contains(&name) {
                return Err(Refusal::invalid(format!("Unknown parameter {name}")));
            }
            let all = values.entry(name).or_default();
            if once && !all.is_empty() {
                return Err(Refusal::invalid(format!("Parameter {name} is given twice")));
            }
            all.push(value);
        }
        match self.required.iter().find(|name| !values.contains_key(**name)) {
            Some(name) => Err(Refusal::invalid(format!("Missing required parameter {name}"))),
            None => Ok(Parameters(values)),
        }
    }
}

/// Parameters of which each is known and none is missing.
pub(crate) struct Parameters<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Parameters<'a> {
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).and_then(|values| values.first().copied())
    }

    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.get(name).into_iter().flatten().map(|value| (*value).to_owned()).collect()
    }

    /// A value that must be a sid with this prefix.
    pub(crate) fn sid(&self, name: &str, prefix: &str) -> Result<Option<String>, Refusal> {
        match self.text(name) {
            Some(text) if !is_sid(prefix, text) => {
                Err(Refusal::invalid(format!("Invalid {name}: not a sid that begins with {prefix}")))
            }
            found => Ok(found.map(str::to_owned)),
        }
    }

    /// One of a few words.
    pub(crate) fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<&'a str>, Refusal> {
        match self.text(name) {
            Some(text) if !words.contains(&text) => {
                Err(Refusal::invalid(format!("Invalid {name}: one of {}", words.join(", "))))
            }
            found => Ok(found),
        }
    }

    /// JSON in a string, of at most `most` bytes. Returned as it came: Twilio keeps the text.
    pub(crate) fn json(&self, name: &str, most: usize) -> Result<Option<String>, Refusal> {
        match self.text(name) {
            Some(text) if text.len() > most => {
                Err(Refusal::invalid(format!("{name} is longer than {most} bytes")))
            }
            Some(text) if serde_json::from_str::<Value>(text).is_err() => {
                Err(Refusal::invalid(format!("{name} is not valid JSON")))
            }
            found => Ok(found.map(str::to_owned)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Published =
        Published { required: &["Status"], optional: &["Routing"], repeated: &["Filter"] };

    fn message(given: &[(&str, &str)]) -> String {
        let given: Vec<_> = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TABLE.read(&given).err().map(|refusal| refusal.message).unwrap_or_default()
    }

    #[test]
    fn an_unknown_missing_or_repeated_parameter_is_named() {
        assert_eq!(message(&[("Status", "closed"), ("routing", "{}")]), "Unknown parameter routing");
        assert_eq!(message(&[]), "Missing required parameter Status");
        assert_eq!(message(&[("Status", "a"), ("Status", "b")]), "Parameter Status is given twice");
        assert_eq!(message(&[("Status", "a"), ("Filter", "b"), ("Filter", "c")]), "");
    }
}
