//! A request that Twilio signed.

use std::fmt;

use http::HeaderMap;

use crate::signature::Params;

/// The header that Twilio documents for retries
/// ([Connection overrides](https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides)).
const IDEMPOTENCY_HEADER: &str = "i-twilio-idempotency-token";

/// The fields of a request whose signature holds. [`Verifier::verify`](super::Verifier::verify) is the only
/// way to one:
///
/// ```
/// use shared::webhook::Verified;
/// fn handle(event: &Verified) -> Option<&str> {
///     event.field("EventType")
/// }
/// ```
///
/// It cannot be made elsewhere, which is what the following fails to do; no other line of it is wrong.
///
/// ```compile_fail,E0451
/// use shared::{signature::Params, webhook::Verified};
/// let forged = Verified { fields: Params::parse(b"EventType=onMessageAdded"), idempotency_token: None };
/// ```
///
/// `Debug` shows the names of the fields only.
#[derive(Clone)]
pub struct Verified {
    fields: Params,
    idempotency_token: Option<String>,
}

impl Verified {
    /// For the verifier, once it has verified.
    pub(super) fn new(fields: Params, headers: &HeaderMap) -> Self {
        let token = headers.get(IDEMPOTENCY_HEADER).and_then(|value| value.to_str().ok());
        Self { fields, idempotency_token: token.map(str::to_owned) }
    }

    /// The first value of a field: of the form's parameter, or of the JSON body's member. A member that is
    /// no string is given as its JSON text, and one that is `null` is not there.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// Every value of a field. Their order is not covered by the signature.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.all(name)
    }

    /// `I-Twilio-Idempotency-Token`: the same for each attempt to deliver one webhook. The signature does not
    /// cover headers, so this is a hint for skipping work, never a reason to trust.
    #[must_use]
    pub fn idempotency_token(&self) -> Option<&str> {
        self.idempotency_token.as_deref()
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("fields", &self.fields).finish_non_exhaustive()
    }
}
