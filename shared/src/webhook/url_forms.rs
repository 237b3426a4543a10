//! The forms in which Twilio may have signed a URL.
//!
//! "Signature generation on the back end is inconsistent" about ports, say the official helper libraries:
//! they take a signature over the URL with its port and without, and so do we. The security page adds that a
//! user name and password are dropped before signing, while the libraries' own vectors keep them; and Node's
//! library knows of back ends that sign `'` in a query as `%27`
//! ([Validating requests](https://www.twilio.com/docs/usage/security#validating-requests)).

use super::authority::split_port;

/// One way to write a URL. The combinations are independent of each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    other_port: bool,
    without_userinfo: bool,
    quote_escaped: bool,
}

impl Form {
    /// Every form, the likeliest first.
    pub(super) const ALL: [Self; 8] = [
        Self::new(false, false, false),
        Self::new(true, false, false),
        Self::new(false, true, false),
        Self::new(true, true, false),
        Self::new(false, false, true),
        Self::new(true, false, true),
        Self::new(false, true, true),
        Self::new(true, true, true),
    ];

    const fn new(other_port: bool, without_userinfo: bool, quote_escaped: bool) -> Self {
        Self { other_port, without_userinfo, quote_escaped }
    }

    /// Writes `url` in this form, without its fragment, which is never part of what is signed. `None` if
    /// another form says the same of this URL.
    pub(super) fn apply(self, url: &str) -> Option<String> {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path_and_query) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = path_and_query.split_at(path_and_query.find('?').unwrap_or(path_and_query.len()));
        let (userinfo, host_and_port) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        if (self.without_userinfo && userinfo.is_empty()) || (self.quote_escaped && !query.contains('\'')) {
            return None;
        }

        let (host, port) = split_port(host_and_port);
        let default_port = if scheme == "http" { "80" } else { "443" };
        let port = match (port, self.other_port) {
            (None, true) => Some(default_port),
            (Some(_), true) => None,
            (port, false) => port,
        };
        let userinfo = if self.without_userinfo { "" } else { userinfo };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let query = if self.quote_escaped { query.replace('\'', "%27") } else { query.to_owned() };
        Some(format!("{scheme}://{userinfo}{host}{port}{path}{query}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(url: &str) -> Vec<String> {
        Form::ALL.iter().filter_map(|form| form.apply(url)).collect()
    }

    #[test]
    fn a_url_without_a_port_is_tried_as_given_and_with_the_default_port() {
        assert_eq!(
            forms("https://a.example/x?y=1"),
            ["https://a.example/x?y=1", "https://a.example:443/x?y=1"]
        );
        assert_eq!(forms("http://a.example"), ["http://a.example", "http://a.example:80"]);
        assert_eq!(forms("https://a.example?y"), ["https://a.example?y", "https://a.example:443?y"]);
        assert_eq!(forms("https://[::1]/x"), ["https://[::1]/x", "https://[::1]:443/x"]);
    }

    #[test]
    fn a_url_with_a_port_is_tried_as_given_and_without_it() {
        assert_eq!(forms("https://a.example:8443/x"), ["https://a.example:8443/x", "https://a.example/x"]);
        assert_eq!(forms("https://[::1]:443/x"), ["https://[::1]:443/x", "https://[::1]/x"]);
    }

    #[test]
    fn the_fragment_is_never_part_of_what_is_signed() {
        assert_eq!(forms("https://a.example/x#rc=3"), ["https://a.example/x", "https://a.example:443/x"]);
    }

    #[test]
    fn a_user_name_is_tried_as_given_and_dropped() {
        assert_eq!(
            forms("https://u:p@a.example/x"),
            [
                "https://u:p@a.example/x",
                "https://u:p@a.example:443/x",
                "https://a.example/x",
                "https://a.example:443/x"
            ]
        );
    }

    #[test]
    fn a_quote_in_the_query_is_tried_raw_first_and_then_escaped() {
        assert_eq!(
            forms("https://a.example/it's?q=It's+amazing"),
            [
                "https://a.example/it's?q=It's+amazing",
                "https://a.example:443/it's?q=It's+amazing",
                "https://a.example/it's?q=It%27s+amazing",
                "https://a.example:443/it's?q=It%27s+amazing"
            ]
        );
    }

    #[test]
    fn a_text_that_is_no_url_has_no_form() {
        for text in ["", "a.example/x", "://", "#https://a.example"] {
            assert!(forms(text).iter().all(|form| form.starts_with("://")), "{text}");
        }
    }
}
