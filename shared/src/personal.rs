//! Values that belong to a person.

use std::fmt;

/// A value that tells of a person (an address, a name, what they wrote): it prints as `<personal>`, so that
/// no derived `Debug` can carry it into a log, and gives itself out only by [`Personal::expose`].
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Personal<T>(T);

impl<T> Personal<T> {
    /// Takes a value into keeping.
    #[must_use]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself, for the one line that needs it.
    #[must_use]
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, taken out of keeping.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<personal>")
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

    #[test]
    fn whoever_asks_by_name_gets_the_value() {
        let author = Personal::new("customer1".to_owned());
        assert_eq!(author.expose(), "customer1");
        assert_eq!(author.into_inner(), "customer1");
    }
}
