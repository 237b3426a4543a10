//! `PUBLIC_BASE_URL`.

use std::{fmt, str::FromStr};

use super::authority::is_authority;

/// The scheme, host, port and path prefix under which Twilio was told to reach us, where the function itself
/// cannot know: behind a custom domain, a CDN or a proxy. The signed URL is this, then the raw path, then
/// the raw query.
///
/// It is kept letter by letter: Twilio signs the URL that it was configured with. Only slashes at its end
/// are dropped, because a raw path begins with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicBaseUrl(Box<str>);

impl PublicBaseUrl {
    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PublicBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path at which Twilio delivers webhooks of Conversations.
const CONVERSATIONS_PATH: &str = "/webhooks/conversations";

/// Whether a webhook that goes to `url` is ours. Without a base it is told by its path alone.
#[must_use]
pub fn is_our_webhook(url: &str, base: Option<&PublicBaseUrl>) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match base {
        Some(base) => path.strip_prefix(base.as_str()) == Some(CONVERSATIONS_PATH),
        None => path.ends_with(CONVERSATIONS_PATH),
    }
}

/// Why a text is no [`PublicBaseUrl`]. Says what was expected and never repeats the text, which may hold a
/// password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected https://host[:port][/path], as Twilio was given it: {fault}")]
pub struct PublicBaseUrlError {
    fault: &'static str,
}

impl FromStr for PublicBaseUrl {
    type Err = PublicBaseUrlError;

    fn from_str(text: &str) -> Result<Self, PublicBaseUrlError> {
        let fault = |fault| Err(PublicBaseUrlError { fault });
        let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
            return fault("it must begin with https:// or http://");
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return fault("it must hold no user name or password");
        }
        if path.contains('?') || path.contains('#') {
            return fault("it must hold no query and no fragment");
        }
        if !is_authority(authority) {
            return fault("its host or port is not valid");
        }
        // What may stand in no URL (RFC 3986, section 2) would make every request to it fail.
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
            return fault("its path must be plain ASCII, other characters as %XX");
        }
        Ok(Self(text.trim_end_matches('/').into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_kept_letter_by_letter_but_for_slashes_at_its_end() {
        for (text, kept) in [
            ("https://example.com", "https://example.com"),
            ("https://example.com/", "https://example.com"),
            ("https://Example.com:8443/a/b//", "https://Example.com:8443/a/b"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000/x", "http://[::1]:3000/x"),
        ] {
            assert_eq!(text.parse::<PublicBaseUrl>().unwrap().as_str(), kept);
        }
    }

    #[test]
    fn the_error_says_what_is_expected_and_never_repeats_the_text() {
        for (text, says) in [
            ("", "must begin with https://"),
            ("example.com", "must begin with https://"),
            ("ftp://example.com", "must begin with https://"),
            ("https://", "host or port"),
            ("https:///path", "host or port"),
            ("https://exa mple.com", "host or port"),
            ("https://example.com:99999", "host or port"),
            ("https://user:hunter2@example.com", "no user name"),
            ("https://example.com?hunter2=1", "no query"),
            ("https://example.com/#hunter2", "no query and no fragment"),
            ("https://example.com/a b", "plain ASCII"),
            ("https://example.com/é", "plain ASCII"),
            ("https://example.com/<stage>", "plain ASCII"),
            ("https://example.com/{proxy+}", "plain ASCII"),
        ] {
            let error = text.parse::<PublicBaseUrl>().unwrap_err().to_string();
            assert!(error.starts_with("expected https://host[:port][/path]"), "{error}");
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
