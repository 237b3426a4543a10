//! Values that are about a person: addresses, names, what they wrote or filled in.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that tells of a person: it is used like the value itself, but prints as `<personal>`, so that no
/// derived `Debug` can carry it into a log.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal<T>(pub T);

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<personal>")
    }
}

impl<T> std::ops::Deref for Personal<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_personal_value_does_not_print_itself() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "read by the derived Debug only")]
        struct Holder {
            address: Option<Personal<String>>,
        }
        let holder = Holder { address: Some("+15551230001".to_owned().into()) };
        assert_eq!(format!("{holder:?}"), "Holder { address: Some(<personal>) }");
    }
}
