//! How Twilio signs a webhook: <https://www.twilio.com/docs/usage/security#validating-requests>.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// The value of `X-Twilio-Signature` for a form posted to `url`.
///
/// Parameters are sorted by key, the values of one key are sorted and each counts once, and a fragment is not
/// signed. For GET, or a body that is not a form, pass no parameters.
#[must_use]
pub fn sign(auth_token: &str, url: &str, params: &[(String, String)]) -> String {
    let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in params {
        sorted.entry(key).or_default().insert(value);
    }
    // HMAC takes keys of any length, so there is always a signature.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()) else { return String::new() };
    mac.update(without_fragment(url).as_bytes());
    for (key, values) in sorted {
        for value in values {
            mac.update(key.as_bytes());
            mac.update(value.as_bytes());
        }
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// The URL as it goes over the wire: connection overrides stand in the fragment and stay at Twilio.
pub(crate) fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(wire, _)| wire)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    fn call() -> Vec<(String, String)> {
        [
            ("To", "+18005551212"),
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    #[test]
    fn a_form_is_signed_as_twilio_publishes() {
        assert_eq!(sign("12345", URL, &call()), "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    }

    #[test]
    fn a_body_that_is_no_form_is_signed_through_the_hash_in_the_url() {
        let url =
            format!("{URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620");
        assert_eq!(sign("12345", &url, &[]), "a9nBmqA0ju/hNViExpshrM61xv4=");
    }

    #[test]
    fn the_fragment_is_not_signed() {
        assert_eq!(sign("12345", &format!("{URL}#rc=3"), &call()), sign("12345", URL, &call()));
    }

    #[test]
    fn a_value_counts_once_and_the_order_sent_does_not_count() {
        let pair = |value: &str| ("Address".to_owned(), value.to_owned());
        assert_eq!(
            sign("t", URL, &[pair("b"), pair("a"), pair("b")]),
            sign("t", URL, &[pair("a"), pair("b")])
        );
    }
}
