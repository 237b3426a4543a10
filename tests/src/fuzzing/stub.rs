//! The functions in a world where nobody is: the table takes everything and holds nothing, and Twilio cannot be
//! reached. So nothing is remembered from one input to the next, and an input does the same alone as after others.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use inbound_webhook::InboundWebhook;
use lambda_http::request::LambdaRequest;
use outbound_participant::OutboundParticipant;
use serde_json::Value;
use shared::{
    aws,
    clock::{Clock, Deadline, Timestamp},
    config::Settings,
    gateway::{self, HttpFunction},
    parts::World,
    random::SeededRandom,
    telemetry,
    transport::{Transport, TransportError},
};
use taskrouter_events::TaskRouterEvents;
use tokio::runtime::Runtime;
use webchat_token::WebchatToken;

/// The host of the functions.
pub(super) const DOMAIN: &str = "flexglue.example";
/// By which Twilio signs.
pub(super) const AUTH_TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The key of back ends.
pub(super) const API_KEY: &str = "local-back-end";
/// By which tokens of web chats are signed.
pub(super) const SIGNING_KEY: (&str, &str) = ("SK00000000000000000000000000000001", "a-secret-of-an-api-key");
/// By which a site signs who its customers are.
pub(super) const CUSTOMER_SECRET: &str = "fedcba9876543210fedcba9876543210";
/// The site on which chats begin.
pub(super) const SITE: &str = "https://shop.example";
/// The addresses of ours.
pub(super) const SENDERS: [&str; 2] = ["+15557770000", "whatsapp:+15557770000"];
/// It is always then.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Variables with which every function starts.
pub(super) fn variables() -> BTreeMap<&'static str, String> {
    let sid = |prefix: &str| format!("{prefix}00000000000000000000000000000001");
    BTreeMap::from([
        ("TABLE_NAME", "flexglue".to_owned()),
        ("TWILIO_ACCOUNT_SID", sid("AC")),
        ("TWILIO_AUTH_TOKEN", AUTH_TOKEN.to_owned()),
        ("FLEX_WORKSPACE_SID", sid("WS")),
        ("FLEX_WORKFLOW_SID", sid("WW")),
        ("FLEX_CHAT_SERVICE_SID", sid("IS")),
        ("OUTBOUND_SENDERS", SENDERS.join(",")),
        ("OUTBOUND_API_KEYS", API_KEY.to_owned()),
        ("TWILIO_API_KEY_SID", SIGNING_KEY.0.to_owned()),
        ("TWILIO_API_KEY_SECRET", SIGNING_KEY.1.to_owned()),
        ("WEBCHAT_ADDRESS_SID", sid("IG")),
        ("WEBCHAT_ALLOWED_ORIGINS", SITE.to_owned()),
        ("WEBCHAT_CUSTOMER_SECRET", CUSTOMER_SECRET.to_owned()),
    ])
}

/// What the functions are told.
pub(super) fn settings() -> Settings {
    let variables = variables();
    Settings::read(|name| variables.get(name).cloned()).expect("these are good")
}

/// The functions, and the requests that they would have sent to Twilio.
pub(super) struct Functions {
    pub(super) inbound: InboundWebhook,
    pub(super) task_router: TaskRouterEvents,
    pub(super) outbound: OutboundParticipant,
    pub(super) chats: WebchatToken,
    asked: Arc<Unreachable>,
    runtime: Runtime,
}

/// An answer of a function.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u64,
    /// Null where there is none.
    pub(super) body: Value,
}

thread_local! {
    static FUNCTIONS: Functions = Functions::new();
}

/// Does something with the functions of this thread.
pub(super) fn with_functions<T>(what: impl FnOnce(&Functions) -> T) -> T {
    FUNCTIONS.with(what)
}

/// A runtime on which nothing waits for real.
pub(super) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs nothing")
}

impl Functions {
    fn new() -> Self {
        let runtime = runtime();
        let asked = Arc::new(Unreachable::default());
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let table: Arc<dyn Transport> = Arc::new(TakesAll);
        let twilio: Arc<dyn Transport> = Arc::clone(&asked) as _;
        let world = World {
            aws: runtime.block_on(aws::local(&clock, &table, "http://dynamodb.local")),
            clock,
            random: Arc::new(SeededRandom::new(1)),
            web: Arc::clone(&twilio),
            twilio,
            emit: Arc::new(|_| {}),
        };
        let settings = settings();
        Self {
            inbound: InboundWebhook::new(&settings, &world),
            task_router: TaskRouterEvents::new(&settings, &world),
            outbound: OutboundParticipant::new(&settings, &world),
            chats: WebchatToken::new(&settings, &world).expect("an address and a key are set"),
            asked,
            runtime,
        }
    }

    /// What a function answers to an event, which must be something that a front end can pass on.
    pub(super) fn answer(&self, function: &dyn HttpFunction, event: LambdaRequest) -> Answered {
        self.asked.requests().clear();
        let answer = self.runtime.block_on(async {
            let deadline = Deadline::within(function.answer_limit());
            gateway::invoke(function, event, telemetry::invocation("fuzzing", None), deadline).await
        });
        let answer = serde_json::to_value(answer).expect("answers serialise");
        let status = answer["statusCode"].as_u64().expect("an answer has a status");
        assert!((200..600).contains(&status) && status != 500, "{answer}");
        assert!(answer["headers"].is_object() && answer["isBase64Encoded"] == false, "{answer}");
        let body = answer["body"].as_str().expect("a body is a text");
        let body =
            if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("it is JSON") };
        if status >= 400 {
            assert!(body["error"].is_string() && body["detail"].is_string(), "a clear error: {answer}");
        }
        Answered { status, body }
    }

    /// What the last answer has asked of Twilio: path, and form.
    pub(super) fn asked_of_twilio(&self) -> Vec<(String, BTreeMap<String, String>)> {
        let requests = self.asked.requests();
        let form = |body: &Bytes| form_urlencoded::parse(body).into_owned().collect();
        requests.iter().map(|request| (request.uri().path().to_owned(), form(request.body()))).collect()
    }
}

/// A clock that stands still.
#[derive(Debug)]
pub(super) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

/// A DynamoDB that takes everything and holds nothing.
#[derive(Debug)]
struct TakesAll;

impl Transport for TakesAll {
    fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async { Ok(Response::new(Bytes::from_static(b"{}"))) })
    }
}

/// A Twilio that cannot be reached.
#[derive(Default)]
struct Unreachable(Mutex<Vec<Request<Bytes>>>);

impl Unreachable {
    fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unreachable")
    }
}

impl Transport for Unreachable {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        self.requests().push(request);
        Box::pin(async { Err(TransportError::NotSent) })
    }
}
