//! A webhook from what Lambda hands over to a typed event, in three steps that cannot be skipped:
//!
//! 1. [`RawRequest::from_lambda`] keeps the bytes that came, and whatever is needed to say which URL Twilio
//!    may have signed.
//! 2. [`Verifier::verify`] checks the signature over those bytes. It alone makes a [`Verified`]; a handler
//!    that takes one cannot see a request that Twilio did not sign.
//! 3. [`ConversationEvent::from_verified`] reads the fields.

mod authority;
mod base_url;
mod event;
mod json_body;
mod query;
mod request;
mod signed_urls;
mod url_forms;
mod verified;
mod verifier;

pub use base_url::{PublicBaseUrl, PublicBaseUrlError, is_our_webhook};
pub use event::{
    Binding, ConversationEvent, ConversationRemoved, ConversationState, MalformedEventFields, MessageAdded,
    ParticipantAdded, StateUpdated, TaskRouterEvent, TaskRouterNews,
};
pub use request::{MAX_BODY, MalformedEvent, RawRequest};
pub use verified::Verified;
pub use verifier::{Limits, MAX_ATTEMPTS, Refusal, SIGNATURE_HEADER, Verifier};
