//! What the tests of all files share: an account, a clock that stands still, and calls that are answered at
//! once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::FutureExt as _;
use hmac::{Hmac, KeyInit, Mac};
use http::Request;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{Address, Lost, SetClock, Settings, Twilio, Webhook};

pub(crate) const START_MS: u64 = 1_767_323_045_000;
pub(crate) const CUSTOMER: &str = "+15551230001";
pub(crate) const OURS: &str = "+15557770000";
pub(crate) const HOOK: &str = "https://example.com/webhooks/conversations";

/// An API key and its secret.
pub(crate) const KEY: (&str, &str) = ("SK0000000000000000000000000000000a", "the secret of the key");

/// A Twilio with one SMS address, one for chats and an API key, and the clock it runs by.
pub(crate) struct Sim {
    pub(crate) twilio: Twilio,
    pub(crate) clock: Arc<SetClock>,
}

/// The status and the body of an answer.
pub(crate) type Answered = (u16, Value);

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            addresses: vec![Address::webhook("sms", OURS, HOOK), Address::webhook("chat", "Website", HOOK)],
            event_callback_url: Some("https://example.com/webhooks/taskrouter#rc=3".to_owned()),
            extra_auth: vec![(KEY.0.to_owned(), KEY.1.to_owned())],
            ..Settings::default()
        };
        change(&mut settings);
        let clock = Arc::new(SetClock::at(START_MS));
        Self { twilio: Twilio::new(settings, Arc::clone(&clock) as _), clock }
    }

    pub(crate) fn request(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Request<Bytes> {
        let settings = self.twilio.settings();
        let user = STANDARD.encode(format!("{}:{}", settings.account_sid, settings.auth_token));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Basic {user}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(body))
            .expect("a request")
    }

    pub(crate) fn send(&self, request: Request<Bytes>) -> Result<Answered, Lost> {
        let answer = self.twilio.call(request).now_or_never().expect("an answer at once")?;
        let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
        Ok((answer.status().as_u16(), body))
    }

    pub(crate) fn get(&self, path: &str) -> Answered {
        self.send(self.request("GET", path, &[])).expect("an answer")
    }

    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> Answered {
        self.send(self.request("POST", path, form)).expect("an answer")
    }

    /// The same with JSON for a body.
    pub(crate) fn post_json(&self, path: &str, body: &Value) -> Answered {
        let mut request = self.request("POST", path, &[]);
        *request.body_mut() = body.to_string().into();
        request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        self.send(request).expect("an answer")
    }

    /// A POST of a form with webhooks enabled.
    pub(crate) fn post_loudly(&self, path: &str, form: &[(&str, &str)]) -> Answered {
        let mut request = self.request("POST", path, form);
        request.headers_mut().insert("x-twilio-webhook-enabled", http::HeaderValue::from_static("true"));
        self.send(request).expect("an answer")
    }

    /// What an access token for this user says: it was signed at the start and lives for an hour.
    pub(crate) fn claims(&self, identity: &str) -> Value {
        let settings = self.twilio.settings();
        json!({
            "jti": format!("{}-{}", KEY.0, START_MS / 1000),
            "iss": KEY.0,
            "sub": settings.account_sid,
            "exp": START_MS / 1000 + 3600,
            "grants": { "identity": identity, "chat": { "service_sid": settings.chat_service_sid } },
        })
    }

    /// An access token for this user.
    pub(crate) fn token(&self, identity: &str) -> String {
        signed(&token_header(), &self.claims(identity), KEY.1)
    }

    /// A call by a chat user, who shows an access token.
    pub(crate) fn as_user(&self, token: &str, method: &str, path: &str, form: &[(&str, &str)]) -> Answered {
        let mut request = self.request(method, path, form);
        let bearer = format!("Bearer {token}").parse().expect("text");
        request.headers_mut().insert("authorization", bearer);
        self.send(request).expect("an answer")
    }

    pub(crate) fn delete(&self, path: &str) -> u16 {
        self.send(self.request("DELETE", path, &[])).expect("an answer").0
    }

    /// A conversation made over REST.
    pub(crate) fn conversation(&self) -> String {
        text(&self.post("/v1/Conversations", &[]).1["sid"])
    }

    /// The code of the refusal when the pair is added to the conversation, or 0.
    pub(crate) fn bind(&self, conversation: &str, address: &str, proxy_address: &str) -> u64 {
        let form = [("MessagingBinding.Address", address), ("MessagingBinding.ProxyAddress", proxy_address)];
        code(&self.post(&format!("/v1/Conversations/{conversation}/Participants"), &form))
    }

    /// The parameter `Routing`, with more properties.
    pub(crate) fn routing(&self, more: &Value) -> String {
        let settings = self.twilio.settings();
        let mut properties = json!({
            "workspace_sid": settings.workspace_sid,
            "workflow_sid": settings.workflow_sid,
            "task_channel_unique_name": "chat",
        });
        for (key, value) in more.as_object().expect("an object") {
            properties[key] = value.clone();
        }
        json!({ "properties": properties }).to_string()
    }

    /// Opens an inbound Interaction on the conversation, with the caller's attributes.
    pub(crate) fn interact(&self, conversation: &str) -> Answered {
        let channel = json!({
            "type": "sms", "initiated_by": "customer", "properties": { "media_channel_sid": conversation },
        });
        let routing = self.routing(&json!({ "attributes": { "from": CUSTOMER, "team": "blue" } }));
        self.post("/v1/Interactions", &[("Channel", &channel.to_string()), ("Routing", &routing)])
    }

    /// A customer who wrote, with an Interaction that is set up.
    pub(crate) fn engaged(&self) -> Engaged {
        let conversation = self.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let (_, body) = self.interact(&conversation);
        self.clock.advance(200);
        let engaged = Engaged {
            channel: format!(
                "/v1/Interactions/{}/Channels/{}",
                text(&body["sid"]),
                text(&body["channel"]["sid"])
            ),
            conversation,
            task: text(&body["routing"]["properties"]["sid"]),
        };
        self.events();
        engaged
    }

    /// The same, and the first agent is at work on it.
    pub(crate) fn attended() -> (Self, Engaged) {
        let sim = Self::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.events();
        (sim, engaged)
    }

    pub(crate) fn worker(&self, number: usize) -> String {
        self.twilio.settings().workers[number].sid.clone()
    }

    /// Takes the webhooks that are due and gives their event types.
    pub(crate) fn events(&self) -> Vec<String> {
        self.webhooks().into_iter().map(|webhook| webhook.event_type).collect()
    }

    pub(crate) fn webhooks(&self) -> Vec<Webhook> {
        self.twilio.take_webhooks()
    }

    /// The status of a task, or `gone`.
    pub(crate) fn task_status(&self, sid: &str) -> &'static str {
        self.twilio.task(sid).map_or("gone", |task| task.status.as_str())
    }

    pub(crate) fn state(&self, conversation: &str) -> &'static str {
        self.twilio.conversation(conversation).map_or("gone", |found| found.state.as_str())
    }
}

/// A customer who wrote, with an Interaction that is set up.
pub(crate) struct Engaged {
    pub(crate) conversation: String,
    /// The path of the Interaction channel.
    pub(crate) channel: String,
    pub(crate) task: String,
}

/// The header of an access token.
pub(crate) fn token_header() -> Value {
    json!({ "typ": "JWT", "alg": "HS256", "cty": "twilio-fpa;v=1" })
}

/// A JSON Web Token.
pub(crate) fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    let text = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys of any length");
    mac.update(text.as_bytes());
    format!("{text}.{}", encode(&mac.finalize().into_bytes()))
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The code of an error, or 0.
pub(crate) fn code(answered: &Answered) -> u64 {
    answered.1["code"].as_u64().unwrap_or(0)
}
