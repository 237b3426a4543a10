//! Browsers that call from another origin ([CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)): only from
//! those that are named, exactly, and from just anywhere only where that is asked for twice.

use std::str::FromStr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};

use crate::problem::problem;

/// The origins that may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// These. Scheme, host and port must be the same to the letter.
    Listed(Vec<HeaderValue>),
    /// Any, and callers that are no pages too: for trying things out.
    Any,
}

impl Default for AllowedOrigins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl AllowedOrigins {
    fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Listed(listed) => listed.contains(origin),
            Self::Any => true,
        }
    }
}

/// Why a text is no [`AllowedOrigins`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected origins such as https://flex.twilio.com, comma-separated: https (or http for localhost), host and \
     perhaps port, in lower case, no path, no `*`"
)]
pub struct AllowedOriginsError;

impl FromStr for AllowedOrigins {
    type Err = AllowedOriginsError;

    fn from_str(text: &str) -> Result<Self, AllowedOriginsError> {
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(origin);
        origins.collect::<Option<_>>().map(Self::Listed).ok_or(AllowedOriginsError)
    }
}

/// An origin as a browser writes it: without a default port, a path or upper case.
fn origin(text: &str) -> Option<HeaderValue> {
    let (scheme, authority) = text.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_local = matches!(host, "localhost" | "127.0.0.1");
    let is_host = !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    let default_port = if scheme == "https" { "443" } else { "80" };
    let is_port = port.is_none_or(|port| port != default_port && port.parse::<u16>().is_ok());
    let is_scheme = scheme == "https" || scheme == "http" && is_local;
    if is_scheme && is_host && is_port { HeaderValue::from_str(text).ok() } else { None }
}

/// What browsers may do at one function.
#[derive(Clone, Debug)]
pub struct Cors {
    /// From where.
    pub origins: AllowedOrigins,
    /// The methods, comma-separated.
    pub methods: &'static str,
    /// The headers that they may send, comma-separated.
    pub headers: &'static str,
}

/// From where a request comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Not from a page in a browser.
    None,
    /// From an origin that is allowed.
    Allowed(HeaderValue),
    /// From one that is not.
    Foreign,
}

/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

impl Cors {
    /// From where a request comes.
    #[must_use]
    pub fn origin(&self, headers: &HeaderMap) -> Origin {
        match headers.get(header::ORIGIN) {
            None => Origin::None,
            Some(origin) if self.origins.allow(origin) => Origin::Allowed(origin.clone()),
            Some(_) => Origin::Foreign,
        }
    }

    /// The same for a function that nobody but pages may call: what comes from no page is foreign to it.
    #[must_use]
    pub fn origin_of_page(&self, headers: &HeaderMap) -> Origin {
        match self.origin(headers) {
            Origin::None if self.origins != AllowedOrigins::Any => Origin::Foreign,
            origin => origin,
        }
    }

    /// The answer to a preflight, and to whatever comes from where nothing may come: that is 403, without a word
    /// that a page could read. `None` where the request is to be answered by itself.
    #[must_use]
    pub fn answer_first(&self, method: &Method, origin: &Origin) -> Option<Response<Bytes>> {
        if *origin == Origin::Foreign {
            let detail = "This origin is not allowed.";
            return Some(varied(problem(StatusCode::FORBIDDEN, "origin_not_allowed", detail)));
        }
        if *method != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if matches!(origin, Origin::Allowed(_)) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(self.methods));
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(self.headers));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        Some(self.answer(response, origin))
    }

    /// An answer that the page which asked may read.
    #[must_use]
    pub fn answer(&self, response: Response<Bytes>, origin: &Origin) -> Response<Bytes> {
        let mut response = varied(response);
        if let Origin::Allowed(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        }
        response
    }
}

/// Whatever is answered depends on the origin: no cache between may give it to another.
fn varied(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors {
            origins: "https://flex.twilio.com, http://localhost:3000".parse().unwrap(),
            methods: "POST",
            headers: "content-type",
        }
    }

    fn from(origin: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_str(origin).unwrap())])
    }

    #[test]
    fn origins_are_exact() {
        for allowed in ["https://flex.twilio.com", "http://localhost:3000"] {
            assert!(matches!(cors().origin(&from(allowed)), Origin::Allowed(_)), "{allowed}");
        }
        for other in [
            "null",
            "https://flex.twilio.com.evil.example",
            "https://evil-flex.twilio.com",
            "http://flex.twilio.com",
            "https://flex.twilio.com:444",
            "https://FLEX.twilio.com",
            "https://flex.twilio.com.",
            "http://localhost",
            "",
        ] {
            let origin = cors().origin(&from(other));
            let refused = cors().answer_first(&Method::POST, &origin).unwrap();
            assert_eq!(refused.status(), 403, "{other}");
            assert!(!refused.headers().contains_key("access-control-allow-origin"), "{other}");
            assert_eq!(refused.headers()["vary"], "Origin");
        }
        assert_eq!(cors().origin(&HeaderMap::new()), Origin::None);
        assert_eq!(cors().origin_of_page(&HeaderMap::new()), Origin::Foreign);
    }

    #[test]
    fn anywhere_is_allowed_only_where_that_is_asked_for() {
        let anywhere = Cors { origins: AllowedOrigins::Any, ..cors() };
        assert!(matches!(anywhere.origin_of_page(&from("https://evil.example")), Origin::Allowed(_)));
        assert_eq!(anywhere.origin_of_page(&HeaderMap::new()), Origin::None);
        assert_eq!("*".parse::<AllowedOrigins>(), Err(AllowedOriginsError));
    }

    #[test]
    fn a_preflight_tells_what_is_allowed_and_only_where_it_is() {
        let cors = cors();
        let origin = cors.origin(&from("https://flex.twilio.com"));
        let answer = cors.answer_first(&Method::OPTIONS, &origin).unwrap();
        assert_eq!(answer.status(), 204);
        for (name, value) in [
            ("access-control-allow-origin", "https://flex.twilio.com"),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.headers()[name], value);
        }
        assert!(cors.answer_first(&Method::POST, &origin).is_none());
        let elsewhere = cors.answer_first(&Method::OPTIONS, &Origin::None).unwrap();
        assert!(!elsewhere.headers().contains_key("access-control-allow-origin"));
    }

    #[test]
    fn what_no_browser_sends_cannot_be_allowed() {
        for wrong in [
            "*",
            "https://*.example.com",
            "example.com",
            "http://example.com",
            "https://example.com/",
            "https://example.com:443",
            "https://Example.com",
            "https://user@example.com",
            "https://",
            "https://a.example, b.example",
        ] {
            assert_eq!(wrong.parse::<AllowedOrigins>(), Err(AllowedOriginsError), "{wrong}");
        }
        assert_eq!("".parse::<AllowedOrigins>(), Ok(AllowedOrigins::default()));
    }
}
