//! What a browser wants to be told before a page of another origin may call and read the answer
//! ([CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)). Any page may that shows an access token; none does that
//! has the account's own password.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

const ANYWHERE: HeaderValue = HeaderValue::from_static("*");

/// The answer to a browser that asks whether a page may call. It asks without saying who the page is.
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    let asks = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    asks.then(|| {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer.headers_mut().extend([
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYWHERE),
            (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST")),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type")),
        ]);
        answer
    })
}

/// Whether a call comes with an access token, as a page's do.
pub(crate) fn shows_token(request: &Request) -> bool {
    request.headers().get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes().starts_with(b"Bearer "))
}

/// Lets any page read an answer.
pub(crate) fn let_read(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANYWHERE);
}
