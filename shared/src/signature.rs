//! Twilio's request signature: pure, no I/O.
//!
//! The rules are those of
//! [Validating requests](https://www.twilio.com/docs/usage/security#validating-requests) and of the official
//! helper libraries; the tests hold the vectors of the latter.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// The query parameter in which Twilio sends the hash of a body that is no form.
pub(crate) const BODY_HASH_PARAMETER: &str = "bodySHA256";

/// The length in bytes of what a signature encodes.
pub(crate) const MAC_LEN: usize = 20;

/// The value of `X-Twilio-Signature` for a request to `url`: base64 of HMAC-SHA1, keyed with the auth token,
/// over the URL as Twilio was given it (without its `#fragment`) followed by the form parameters.
///
/// GET and JSON requests sign the URL alone: hand in empty `params`. For JSON the URL carries the body's
/// hash, see [`body_hash`].
///
/// Key and value are joined without a separator, so the signature says nothing about where one ends and the
/// next begins. That is Twilio's algorithm and cannot be mended on this side.
#[must_use]
pub fn signature(token: &[u8], url: &str, params: &Params) -> String {
    STANDARD.encode(mac(token, url, &params.signed_text()))
}

/// The value of the query parameter `bodySHA256` that Twilio adds to the URL when the body is not a form:
/// SHA-256 of the raw body in lower-case hexadecimal digits.
#[must_use]
pub fn body_hash(body: &[u8]) -> String {
    use fmt::Write as _;

    Sha256::digest(body).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What [`signature`] encodes, from the text that [`Params::signed_text`] gives: whoever tries several URLs
/// sorts the parameters once.
pub(crate) fn mac(token: &[u8], url: &str, signed_text: &str) -> [u8; MAC_LEN] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, section 2)")]
    let mut mac = Hmac::<Sha1>::new_from_slice(token).expect("any length will do");
    mac.update(url.as_bytes());
    mac.update(signed_text.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The parameters of a form, decoded and in the order in which they came. A name may occur more than once.
///
/// `Debug` shows the names only: the values are what people wrote.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads an `application/x-www-form-urlencoded` body or a query string: `+` is a space, `%XX` a byte,
    /// bytes that are no UTF-8 become U+FFFD as in Twilio's libraries
    /// ([URL standard](https://url.spec.whatwg.org/#urlencoded-parsing)). Takes anything.
    #[must_use]
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The first value of that name; an empty value counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Every value of that name, in the order in which they came. The signature does not cover that order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter_map(move |(key, value)| (key == name).then_some(value))
    }

    /// Every name and value, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the signature covers besides the URL: sorted by key in byte order, each key followed by its
    /// value, nothing between them. The values of one key are sorted, and each counts once: so do Twilio's
    /// libraries for Python, Node and PHP (those for Go, Java, Ruby and C# cannot tell repeated keys).
    pub(crate) fn signed_text(&self) -> String {
        let mut pairs: Vec<_> = self.iter().collect();
        // Pairs compare by key first, not by key and value run together: `Sid` comes before `SidAccount`
        // whatever its value.
        pairs.sort_unstable();
        pairs.dedup();
        pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(key, _)| key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &[u8] = b"12345";
    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    fn call() -> Params {
        [
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("Caller", "+14158675309"),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn twilios_vector_of_a_form() {
        assert_eq!(signature(TOKEN, URL, &call()), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn twilios_vector_of_a_form_signed_with_the_port() {
        let url = "https://mycompany.com:443/myapp.php?foo=1&bar=2";
        assert_eq!(signature(TOKEN, url, &call()), "kvajT1Ptam85bY51eRf/AJRuM3w=");
    }

    #[test]
    fn twilios_vector_of_a_json_body() {
        let hash = body_hash(br#"{"property": "value", "boolean": true}"#);
        assert_eq!(hash, "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620");
        let url = format!("{URL}&bodySHA256={hash}");
        assert_eq!(signature(TOKEN, &url, &Params::default()), "a9nBmqA0ju/hNViExpshrM61xv4=");
    }

    #[test]
    fn twilios_vector_of_repeated_keys_sorted_by_key_and_each_value_once() {
        let params = Params::parse(b"SidAccount=AC123&Sid=CA123&Digits=5678&Digits=1234&Digits=1234");
        assert_eq!(signature(TOKEN, URL, &params), "IK+Dwps556ElfBT0I3Rgjkr1wJU=");
    }

    #[test]
    fn keys_are_sorted_by_key_not_by_key_and_value_together() {
        let params = Params::parse(b"SidAccount=1&Sid=Z&ReasonConferenceEnded=&Reason=z&b=1&B=2");
        assert_eq!(params.signed_text(), "B2ReasonzReasonConferenceEndedSidZSidAccount1b1");
    }

    #[test]
    fn values_are_signed_decoded_and_untrimmed() {
        let params = Params::parse("a=+x+y+&b=%2B1%20%C3%A9&c=é&d=%zz%&e=%FF".as_bytes());
        assert_eq!(params.signed_text(), "a x y b+1 écéd%zz%e\u{FFFD}");
    }

    #[test]
    fn empty_values_count() {
        assert_eq!(Params::parse(b"b=&a&=v&&").signed_text(), "vab");
    }

    #[test]
    fn the_first_value_of_a_name_and_all_of_them_can_be_read() {
        let params = Params::parse(b"a=2&b=&a=1");
        assert_eq!(params.get("a"), Some("2"));
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["2", "1"]);
        assert_eq!(params.get("b"), Some(""));
        assert_eq!(params.get("c"), None);
        assert_eq!(params.iter().count(), 3);
        assert!(!params.is_empty() && Params::parse(b"").is_empty());
    }

    #[test]
    fn parameters_print_their_names_only() {
        assert_eq!(format!("{:?}", Params::parse(b"Author=customer1")), r#"["Author"]"#);
    }

    #[test]
    fn a_token_of_any_length_signs() {
        for length in [0, 1, 63, 64, 65, 1000] {
            assert_eq!(signature(&vec![b'k'; length], URL, &call()).len(), 28);
        }
    }
}
