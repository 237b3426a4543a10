//! What can come of a call to Twilio besides its answer. Two cases are kept apart, because what must be
//! done next differs: Twilio refused, so nothing happened; or nobody knows, so it may have.

use std::time::Duration;

use serde::Deserialize;

use crate::personal::Personal;

/// Why a call brought no answer that can be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// Nothing happened at Twilio.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It may have happened: look before doing it again.
    #[error(transparent)]
    Unknown(#[from] Doubt),
}

/// Nothing happened at Twilio, for certain.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// No connection could be made.
    #[error("Twilio could not be reached")]
    NotSent,
    /// 429: not processed, may be sent again later
    /// ([rate limits](https://www.twilio.com/docs/usage/rest-api-best-practices)).
    #[error("Twilio asks to slow down")]
    Throttled {
        /// What its `Retry-After` said, where it said anything.
        retry_after: Option<Duration>,
    },
    /// Any other 4xx: the same request would be refused again.
    #[error("Twilio refused with status {status}, code {code:?}")]
    Rejected {
        /// HTTP status.
        status: u16,
        /// Twilio's [error code](https://www.twilio.com/docs/api/errors).
        code: Option<u32>,
        /// Twilio's words. They may quote an address.
        message: Personal<String>,
    },
}

/// The outcome is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The connection broke, or the answer did not come in time.
    #[error("Twilio's answer was lost")]
    AnswerLost,
    /// 5xx, 408, or a status that an API does not give.
    #[error("Twilio failed with status {0}")]
    ServerError(u16),
    /// A success whose body is not what was expected.
    #[error("Twilio's answer could not be read")]
    Unreadable,
}

impl CallError {
    /// Worth another try, later and unchanged.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        !matches!(self, Self::Refused(Refusal::Rejected { .. }))
    }

    /// Refused with this [error code](https://www.twilio.com/docs/api/errors). Codes are matched, never
    /// statuses or words, which differ between APIs.
    #[must_use]
    pub fn has_code(&self, wanted: u32) -> bool {
        matches!(self, Self::Refused(Refusal::Rejected { code: Some(code), .. }) if *code == wanted)
    }

    /// There is no such resource.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Rejected { status: 404, .. }))
    }
}

/// Twilio's two shapes of an error body: its own, and
/// [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) in newer APIs. Both carry `code`.
#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: Option<serde_json::Value>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

/// Reads what an answer that is no success means.
pub(super) fn from_answer(response: &http::Response<bytes::Bytes>) -> CallError {
    let status = response.status().as_u16();
    match status {
        // A gateway gave up waiting: what stood behind it may have acted.
        408 => Doubt::ServerError(status).into(),
        429 => Refusal::Throttled { retry_after: retry_after(response.headers()) }.into(),
        400..500 => {
            let body: ErrorBody = serde_json::from_slice(response.body()).unwrap_or_default();
            let code = body.code.as_ref().and_then(|code| match code {
                serde_json::Value::Number(number) => {
                    number.as_u64().and_then(|number| u32::try_from(number).ok())
                }
                serde_json::Value::String(text) => text.parse().ok(),
                _ => None,
            });
            let message = body.message.or(body.detail).or(body.title).unwrap_or_default();
            Refusal::Rejected { status, code, message: message.into() }.into()
        }
        _ => Doubt::ServerError(status).into(),
    }
}

/// `Retry-After` in seconds; the form with a date is not used by Twilio and counts as absent.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> http::Response<bytes::Bytes> {
        http::Response::builder().status(status).body(bytes::Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn both_shapes_of_error_body_give_the_code() {
        for body in [
            r#"{"code":50416,"message":"in use","more_info":"https://x","status":409}"#,
            r#"{"type":"about:blank","title":"Conflict","status":409,"code":50416,"detail":"in use"}"#,
            r#"{"code":"50416","title":"in use"}"#,
        ] {
            let CallError::Refused(Refusal::Rejected { status, code, message }) =
                from_answer(&answer(409, body))
            else {
                panic!("409 is a refusal")
            };
            assert_eq!((status, code, message.as_str()), (409, Some(50416), "in use"));
        }
    }

    #[test]
    fn an_error_body_of_any_kind_is_no_panic() {
        for body in ["", "<html>", "[]", "{\"code\":-1}", "{\"code\":99999999999}", "\u{fffd}"] {
            let error = from_answer(&answer(400, body));
            assert!(matches!(error, CallError::Refused(Refusal::Rejected { code: None, .. })), "{body}");
        }
    }

    #[test]
    fn a_server_error_leaves_the_outcome_unknown_and_429_does_not() {
        for status in [408, 500, 502, 503, 504, 302] {
            assert!(matches!(from_answer(&answer(status, "")), CallError::Unknown(_)));
        }
        assert!(matches!(
            from_answer(&answer(429, "")),
            CallError::Refused(Refusal::Throttled { retry_after: None })
        ));
    }

    #[test]
    fn retry_after_is_in_seconds() {
        let mut response = answer(429, "");
        response.headers_mut().insert("retry-after", "3".parse().unwrap());
        assert!(matches!(
            from_answer(&response),
            CallError::Refused(Refusal::Throttled { retry_after: Some(pause) }) if pause.as_secs() == 3
        ));
        response.headers_mut().insert("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap());
        assert!(matches!(
            from_answer(&response),
            CallError::Refused(Refusal::Throttled { retry_after: None })
        ));
    }

    #[test]
    fn what_twilio_says_is_not_printed() {
        let error = from_answer(&answer(400, r#"{"code":1,"message":"invalid +15551230001"}"#));
        assert!(!format!("{error:?} {error}").contains("+1555"));
    }
}
