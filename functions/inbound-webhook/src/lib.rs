//! `POST /webhooks/conversations`: turns the first message of a customer into exactly one Interaction.
//!
//! Read `InboundWebhook::answer` first: it is the whole of it. A request is verified, the event in it is read, and
//! each kind of event has its own file: `message_added`, `participant_added`, `over`.

mod message_added;
mod outcome;
mod over;
mod participant_added;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use shared::{
    clock::Deadline,
    config::Settings,
    conversation::Conversation,
    gateway::HttpFunction,
    ledger::LedgerError,
    opening::Opener,
    parts::{Parts, World},
    reception::Reception,
    sid::{AccountSid, ChatServiceSid},
    telemetry::Metric,
    webhook::{ConversationEvent, ConversationState, RawRequest},
};

use self::outcome::Outcome;

/// The function.
#[derive(Debug)]
pub struct InboundWebhook {
    account: AccountSid,
    chat_service: ChatServiceSid,
    system_authors: Vec<String>,
    reception: Reception,
    opener: Opener,
}

impl InboundWebhook {
    /// The function as `settings` say, in `world`.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        let Parts { reception, rescuer, .. } = Parts::new("inbound-webhook", settings, world);
        Self {
            account: settings.account.clone(),
            chat_service: settings.chat_service.clone(),
            system_authors: settings.system_authors.clone(),
            reception,
            opener: rescuer.opener,
        }
    }

    async fn answer(&self, request: RawRequest, deadline: Deadline) -> Response<Bytes> {
        let verified = match self.reception.receive(&request).await {
            Ok(verified) => verified,
            Err(answer) => return answer,
        };
        match ConversationEvent::from_verified(&verified) {
            Ok(event) => self.handle_event(event, deadline).await.into_response(),
            Err(error) => self.reception.malformed(&error),
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
    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.opener.warm_up())
    }

    fn handle(&self, request: RawRequest, deadline: Deadline) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.answer(request, deadline))
    }
}
