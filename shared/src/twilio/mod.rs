//! A client of Twilio's REST APIs, as far as flexglue needs them; one file per resource.
//!
//! Nothing is repeated blindly: a request is sent again only where Twilio said that it did nothing (429, or
//! no connection), or where asking twice changes nothing (GET, DELETE). All else is the caller's to decide, who is
//! told which of the two it is ([`CallError`]). Every call ends before its [`Deadline`].

mod account;
mod configuration;
mod conversations;
mod error;
mod events;
mod interactions;
mod messages;
mod page;
mod participant_conversations;
mod participants;
mod receipts;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
mod web_chats;
mod workspaces;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::{
    account::{AccountResource, AlertResource},
    configuration::{
        AddressResource, AutoCreation, ConversationsConfiguration, FlexConfiguration, WebhookConfiguration,
        attachments,
    },
    conversations::{
        ConversationResource, ConversationState, NewConversation, NewScopedWebhook, ScopedWebhookResource,
        Timers,
    },
    error::{CallError, Doubt, Refusal},
    events::{EVENTS_KEPT, EventQuery, EventResource},
    interactions::{
        ChannelParticipantResource, ChannelResource, ChannelStatus, EndOfTasks, InteractionResource,
        InviteResource, NewInteraction,
    },
    messages::{MessageContent, MessageResource, NewMessage},
    page::{Next, Page},
    participant_conversations::ParticipantConversation,
    participants::{
        ADDRESS_INVALID, ALREADY_THERE, MessagingBinding, PAIR_IN_USE, PROXY_ADDRESS_INVALID,
        ParticipantResource,
    },
    receipts::ReceiptResource,
    tasks::{FlexTask, REACH_ATTRIBUTE, REINVITES_ATTRIBUTE, TaskResource, TaskStanding, reinvite_number},
    tokens::FlexUser,
    web_chats::{NewWebChat, WebChatResource},
    workspaces::{TaskChannelResource, WorkflowResource, WorkspaceResource},
};
use crate::{
    access_token::ApiKey,
    clock::Deadline,
    personal::Personal,
    random::Random,
    secrets::Secrets,
    sid::AccountSid,
    telemetry::{Metric, Metrics},
    transport::{Transport, TransportError},
};

/// Where Twilio's APIs are: scheme, host and perhaps a path, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bases {
    /// `flex-api.twilio.com`: Interactions, web chats.
    pub flex: String,
    /// `conversations.twilio.com`.
    pub conversations: String,
    /// `taskrouter.twilio.com`.
    pub taskrouter: String,
    /// `iam.twilio.com`: Flex user tokens.
    pub iam: String,
    /// `monitor.twilio.com`: what the debugger notes.
    pub monitor: String,
    /// `api.twilio.com`: the account.
    pub api: String,
}

impl Bases {
    /// The public hosts for a region and an edge, named as
    /// [Twilio's helper libraries](https://www.twilio.com/docs/global-infrastructure/understanding-edge-locations)
    /// name them. US1 without an edge is the plain host.
    #[must_use]
    pub fn public(region: Option<&str>, edge: Option<&str>) -> Self {
        let place = match (edge, region) {
            (None, None | Some("us1")) => String::new(),
            (None, Some(region)) => format!(".{region}"),
            (Some(edge), region) => format!(".{edge}.{}", region.unwrap_or("us1")),
        };
        let host = |product: &str| format!("https://{product}{place}.twilio.com");
        Self {
            flex: host("flex-api"),
            conversations: host("conversations"),
            taskrouter: host("taskrouter"),
            iam: host("iam"),
            monitor: host("monitor"),
            api: host("api"),
        }
    }
}

/// The client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Twilio {
    transport: Arc<dyn Transport>,
    random: Arc<dyn Random>,
    secrets: Arc<Secrets>,
    account: AccountSid,
    /// Who logs in, where it is not the account itself.
    key: Option<Arc<ApiKey>>,
    bases: Arc<Bases>,
    metrics: Metrics,
}

/// Tries of one call, the first included.
const TRIES: u32 = 4;
/// The pause before a try is drawn evenly from zero up to this, doubled for each try.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// A try that cannot last this long is not begun: it would be cut off before Twilio could answer.
const SHORTEST_TRY: Duration = Duration::from_millis(100);

/// One request, before it is signed with our credentials.
struct Call<'a> {
    method: Method,
    base: &'a str,
    path: String,
    /// Query of a GET, form of a POST.
    fields: Vec<(&'static str, String)>,
    /// What a POST carries instead of a form, for the one API that wants it.
    json: Option<Personal<Value>>,
    /// Actions of the REST API fire no webhooks unless asked to
    /// ([webhooks](https://www.twilio.com/docs/conversations/conversations-webhooks)).
    fire_webhooks: bool,
}

impl<'a> Call<'a> {
    fn get(base: &'a str, path: String, fields: Vec<(&'static str, String)>) -> Self {
        Self { method: Method::GET, base, path, fields, json: None, fire_webhooks: false }
    }

    fn post(base: &'a str, path: String, fields: Vec<(&'static str, String)>) -> Self {
        Self { method: Method::POST, ..Self::get(base, path, fields) }
    }

    fn post_json(base: &'a str, path: String, body: Value) -> Self {
        Self { json: Some(Personal(body)), ..Self::post(base, path, Vec::new()) }
    }

    fn delete(base: &'a str, path: String) -> Self {
        Self { method: Method::DELETE, ..Self::get(base, path, Vec::new()) }
    }

    fn request(&self, authorization: &HeaderValue) -> Result<http::Request<Bytes>, CallError> {
        let fields = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish();
        let mut uri = format!("{}{}", self.base, self.path);
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .header(header::AUTHORIZATION, authorization)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("flexglue/", env!("CARGO_PKG_VERSION")));
        let body = match &self.json {
            Some(json) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                json.to_string().into()
            }
            None if self.method == Method::POST => {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                fields.into()
            }
            None => {
                if !fields.is_empty() {
                    uri.push('?');
                    uri.push_str(&fields);
                }
                Bytes::new()
            }
        };
        if self.fire_webhooks {
            request = request.header("x-twilio-webhook-enabled", "true");
        }
        // Bases are checked when the configuration is read, and paths are made of SIDs.
        request.uri(uri).body(body).map_err(|_| Refusal::NotSent.into())
    }
}

impl Twilio {
    /// A client for one account.
    pub fn new(
        transport: Arc<dyn Transport>,
        random: Arc<dyn Random>,
        secrets: Arc<Secrets>,
        account: AccountSid,
        bases: Bases,
        metrics: Metrics,
    ) -> Self {
        Self { transport, random, secrets, account, key: None, bases: Arc::new(bases), metrics }
    }

    /// The same, logging in with an [API key](https://www.twilio.com/docs/iam/api-keys) of the account instead of its auth
    /// token.
    #[must_use]
    pub fn with_key(&self, key: ApiKey) -> Self {
        Self { key: Some(Arc::new(key)), ..self.clone() }
    }

    /// Reads the credentials, and has a connection stand by a request that shows none and asks for nothing.
    pub(crate) async fn warm_up(&self, deadline: Deadline) {
        let connect = async {
            if let Ok(request) = http::Request::get(&self.bases.flex).body(Bytes::new()) {
                drop(deadline.run(self.transport.send(request)).await);
            }
        };
        let read = async { drop(self.secrets.current().await) };
        tokio::join!(connect, read);
    }

    /// Sends a call, again where that is safe, until the deadline.
    async fn send<T: DeserializeOwned>(&self, call: Call<'_>, deadline: Deadline) -> Result<T, CallError> {
        self.send_and(call, body, deadline).await
    }

    /// The same, with what `read` makes of the answer.
    async fn send_and<T>(
        &self,
        call: Call<'_>,
        read: impl Fn(&http::Response<Bytes>) -> Result<T, CallError>,
        deadline: Deadline,
    ) -> Result<T, CallError> {
        let repeatable = call.method != Method::POST;
        let mut fresh_secrets = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.send_once(&call, deadline).await.and_then(|answer| read(&answer)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = match &error {
                // The token may have been rotated since it was read. Nothing happened: try the new one, once.
                CallError::Refused(Refusal::Rejected { status: 401, .. })
                    if !fresh_secrets && self.key.is_none() =>
                {
                    fresh_secrets = true;
                    if !self.secrets.refresh().await {
                        return Err(error);
                    }
                    Duration::ZERO
                }
                CallError::Refused(Refusal::Throttled { retry_after: Some(pause) }) => *pause,
                CallError::Refused(Refusal::Throttled { retry_after: None } | Refusal::NotSent) => {
                    self.pause_after(tries)
                }
                CallError::Unknown(_) if repeatable => self.pause_after(tries),
                CallError::Refused(Refusal::Rejected { .. }) | CallError::Unknown(_) => return Err(error),
            };
            if tries == TRIES || pause + SHORTEST_TRY > deadline.remaining() {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn pause_after(&self, tries: u32) -> Duration {
        self.random.up_to(FIRST_PAUSE * 2_u32.saturating_pow(tries - 1))
    }

    async fn send_once(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
    ) -> Result<http::Response<Bytes>, CallError> {
        if deadline.remaining() < SHORTEST_TRY {
            return Err(Refusal::NotSent.into());
        }
        let credentials = self.secrets.current().await.map_err(|_| Refusal::NotSent)?;
        let login = match self.key.as_deref().or(credentials.login.as_ref()) {
            Some(key) => format!("{}:{}", key.sid, key.secret.expose()),
            None => format!("{}:{}", self.account, credentials.auth_token.expose()),
        };
        let mut authorization = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(login)))
            .map_err(|_| Refusal::NotSent)?;
        authorization.set_sensitive(true);
        let request = call.request(&authorization)?;
        let response = match deadline.run(self.transport.send(request)).await {
            Some(Ok(response)) => response,
            Some(Err(TransportError::NotSent)) => return Err(Refusal::NotSent.into()),
            Some(Err(TransportError::Lost)) | None => return Err(Doubt::AnswerLost.into()),
        };
        if !response.status().is_success() {
            let error = error::from_answer(&response);
            if let CallError::Refused(Refusal::Throttled { .. }) = error {
                self.metrics.count(Metric::TwilioThrottled);
            }
            return Err(error);
        }
        Ok(response)
    }
}

/// What the body of an answer says.
fn body<T: DeserializeOwned>(answer: &http::Response<Bytes>) -> Result<T, CallError> {
    // 204: done, and nothing to say.
    let body: &[u8] = if answer.body().is_empty() { b"{}" } else { answer.body() };
    serde_json::from_slice(body).map_err(|_| Doubt::Unreadable.into())
}
