//! `POST /webhooks/conversations`: turns the first message of a customer into exactly one Interaction.
//!
//! Read `InboundWebhook::answer` first: it is the whole of it. A request is verified, the event in it is read, and
//! each kind of event has its own file: `message_added`, `participant_added`, `over`.

mod message_added;
mod outcome;
mod over;
mod participant_added;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use shared::{
    clock::Deadline,
    config::Settings,
    conversation::Conversation,
    gateway::HttpFunction,
    ledger::LedgerError,
    opening::Opener,
    parts::{Parts, World},
    problem::problem,
    secrets::{Secrets, SecretsError},
    sid::{AccountSid, ChatServiceSid},
    telemetry::Metric,
    webhook::{ConversationEvent, ConversationState, RawRequest, Refusal, Verified, Verifier},
};

use self::outcome::Outcome;

/// The function.
#[derive(Debug)]
pub struct InboundWebhook {
    account: AccountSid,
    chat_service: ChatServiceSid,
    system_authors: Vec<String>,
    verifier: Verifier,
    secrets: Arc<Secrets>,
    opener: Opener,
}

/// Why a request is not even looked at.
enum NotTaken {
    Refused(Refusal),
    NoSecrets(SecretsError),
}

impl InboundWebhook {
    /// The function as `settings` say, in `world`.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        let Parts { secrets, opener } = Parts::new("inbound-webhook", settings, world);
        Self {
            account: settings.account.clone(),
            chat_service: settings.chat_service.clone(),
            system_authors: settings.system_authors.clone(),
            verifier: Verifier::new(settings.public_base_url.clone()),
            secrets,
            opener,
        }
    }

    async fn answer(&self, request: RawRequest, deadline: Deadline) -> Response<Bytes> {
        let verified = match self.verify(&request).await {
            Ok(verified) => verified,
            Err(not_taken) => return self.not_taken(&not_taken),
        };
        match ConversationEvent::from_verified(&verified) {
            Ok(event) => self.handle_event(event, deadline).await.into_response(),
            Err(error) => {
                self.opener.metrics.count(Metric::MalformedRequest);
                tracing::error!(%error, "a signed event that cannot be read");
                problem(StatusCode::BAD_REQUEST, "malformed", &error.to_string())
            }
        }
    }

    /// Verifies a request. Where the signature fails, the token may have been rotated since it was read: it is
    /// read again, now and then, and a new one is given a try.
    async fn verify(&self, request: &RawRequest) -> Result<Verified, NotTaken> {
        let tokens = self.secrets.current().await.map_err(NotTaken::NoSecrets)?.signing_tokens();
        let refusal = match self.verifier.verify(request, &tokens) {
            Ok(verified) => return Ok(verified),
            Err(refusal) => refusal,
        };
        if refusal == Refusal::SignatureInvalid && self.secrets.refresh().await {
            let tokens = self.secrets.current().await.map_err(NotTaken::NoSecrets)?.signing_tokens();
            return self.verifier.verify(request, &tokens).map_err(NotTaken::Refused);
        }
        Err(NotTaken::Refused(refusal))
    }

    fn not_taken(&self, not_taken: &NotTaken) -> Response<Bytes> {
        match not_taken {
            NotTaken::NoSecrets(error) => {
                tracing::error!(%error, "no signature can be checked");
                problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later.")
            }
            NotTaken::Refused(refusal) => {
                self.opener.metrics.count(match refusal {
                    Refusal::SignatureMissing | Refusal::SignatureInvalid => Metric::SignatureRefused,
                    _ => Metric::MalformedRequest,
                });
                tracing::warn!(%refusal, "a request is refused");
                problem(refusal.status(), "refused", &refusal.to_string())
            }
        }
    }

    async fn handle_event(&self, event: ConversationEvent, deadline: Deadline) -> Outcome {
        if let Some(sid) = event.conversation_sid() {
            tracing::Span::current().record("conversation_sid", sid.as_str());
        }
        match event {
            ConversationEvent::MessageAdded(event) => {
                if self.is_foreign(&event.account_sid, event.chat_service_sid.as_ref()) {
                    return Outcome::Ignored;
                }
                self.message_added(event, deadline).await
            }
            ConversationEvent::ParticipantAdded(event) => {
                if self.is_foreign(&event.account_sid, event.chat_service_sid.as_ref()) {
                    return Outcome::Ignored;
                }
                self.participant_added(event, deadline).await
            }
            ConversationEvent::StateUpdated(event) => {
                if event.to != ConversationState::Closed
                    || self.is_foreign(&event.account_sid, event.chat_service_sid.as_ref())
                {
                    return Outcome::Ignored;
                }
                self.over(&event.conversation_sid, deadline).await
            }
            ConversationEvent::ConversationRemoved(event) => {
                if self.is_foreign(&event.account_sid, event.chat_service_sid.as_ref()) {
                    return Outcome::Ignored;
                }
                self.over(&event.conversation_sid, deadline).await
            }
            ConversationEvent::Other { event_type } => {
                tracing::debug!(event_type, "an event that opens nothing");
                Outcome::Ignored
            }
        }
    }

    /// What comes of an event that is only written down.
    fn recorded(&self, written: Result<Option<Conversation>, LedgerError>) -> Outcome {
        match written {
            Ok(_) => Outcome::Ignored,
            Err(error) => self.unavailable(&error),
        }
    }

    /// The state table could not be asked or written: nothing is promised, Twilio or the sweeper come again.
    fn unavailable(&self, error: &LedgerError) -> Outcome {
        self.opener.metrics.count(Metric::TableUnavailable);
        tracing::error!(%error, "the event could not be recorded");
        Outcome::Unavailable
    }

    /// Whether an event is about another account or another Conversations service. It is signed, so it is
    /// not an attack: a refusal would only look like an outage to Twilio. Flex serves its own service alone
    /// ([best practices](https://www.twilio.com/docs/flex/developer/conversations/best-practices)).
    fn is_foreign(&self, account: &AccountSid, chat_service: Option<&ChatServiceSid>) -> bool {
        let foreign = *account != self.account || chat_service.is_some_and(|sid| *sid != self.chat_service);
        if foreign {
            self.opener.metrics.count(Metric::ForeignEvent);
            tracing::warn!(
                %account,
                chat_service = chat_service.map(tracing::field::display),
                "an event of another account or Conversations service; check FLEX_CHAT_SERVICE_SID"
            );
        }
        foreign
    }
}

impl HttpFunction for InboundWebhook {
    fn handle(&self, request: RawRequest, deadline: Deadline) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.answer(request, deadline))
    }
}
