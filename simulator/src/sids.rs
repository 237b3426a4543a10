//! Twilio's identifiers: two letters and 32 hexadecimal digits. And what else is drawn by lot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Draws sids from a seed: the same seed gives the same sids in the same order.
#[derive(Debug)]
pub(crate) struct Sids(fastrand::Rng);

impl Sids {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// The next sid with this prefix, such as `CH`.
    pub(crate) fn draw(&mut self, prefix: &str) -> String {
        format!("{prefix}{:032x}", self.0.u128(..))
    }

    /// The next so many bytes, in base64url.
    pub(crate) fn draw_bytes(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// Whether `text` is a sid with this prefix.
pub(crate) fn is_sid(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sids() {
        let (mut a, mut b) = (Sids::from_seed(7), Sids::from_seed(7));
        assert_eq!(a.draw("CH"), b.draw("CH"));
        assert_ne!(a.draw("CH"), Sids::from_seed(8).draw("CH"));
    }

    #[test]
    fn a_sid_is_two_letters_and_32_hexadecimal_digits() {
        assert!(is_sid("CH", &Sids::from_seed(1).draw("CH")));
        assert!(!is_sid("CH", &Sids::from_seed(1).draw("KD")));
        assert!(!is_sid("CH", "CH123"));
    }
}
