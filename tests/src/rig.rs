//! All of flexglue in one process, on Tokio's paused clock, from a seed; and the questions that tests ask of
//! it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use flexglue::local::{
    dynamodb::Dynamo,
    gateway::{EventShape, Routes},
    system::{self, CONVERSATIONS_PATH, Options, PUBLIC_URL, SMS_NUMBER, System, WHATSAPP_NUMBER},
};
use http::{Request, Response};
use orphan_sweeper::SweepReport;
use serde_json::Value;
use shared::{
    clock::{Clock, Deadline, Timestamp, TokioClock},
    conversation::{Conversation, Happening},
    ledger::Ledger,
    parts::World,
    random::{Random, SeededRandom},
    sid::ConversationSid,
};
use simulator::{Address, ChannelStatus, Integration};

use crate::wires::Unhurried;

/// The customer of most tests.
pub const CUSTOMER: &str = "+15551230001";

/// Everything in one process.
pub struct Rig {
    /// The parts.
    pub system: System,
    /// Draws whatever tests draw.
    pub random: Arc<dyn Random>,
    metrics: Arc<Mutex<Vec<Value>>>,
}

/// A clock that is ahead of another.
#[derive(Debug)]
pub struct Ahead {
    /// The other.
    pub of: Arc<dyn Clock>,
    /// By how much.
    pub by: Duration,
}

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.of.now() + self.by
    }
}

/// A moment in 2027, for no reason but that it is the same in every run.
const BEGINNING: Timestamp = Timestamp::from_seconds(1_800_000_000);

impl Rig {
    /// A rig with nothing special about it.
    #[must_use]
    pub fn new() -> Self {
        Self::with(1, |_| {}, &[])
    }

    /// A rig from a seed, with a simulated account and variables of its own. Needs a paused Tokio runtime.
    ///
    /// # Panics
    /// Where what a test asks for cannot be put together.
    #[must_use]
    pub fn with(
        seed: u64,
        account: impl FnOnce(&mut simulator::Settings),
        variables: &[(&'static str, &str)],
    ) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(BEGINNING));
        let seconds = Arc::clone(&clock);
        let metrics = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&metrics);
        let mut simulator = simulator::Settings { seed, ..simulator::Settings::default() };
        account(&mut simulator);
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        let options = Options {
            simulator,
            dynamo: Dynamo::memory_with_clock(Arc::new(move || seconds.now().as_seconds()))
                .expect("SQLite works in memory"),
            clock,
            random: Arc::clone(&random),
            emit: Arc::new(move |line| {
                let line = serde_json::from_str(line).expect("metrics are JSON");
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }),
            variables: variables
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            public_url: PUBLIC_URL.to_owned(),
        };
        let system = System::new(options).expect("the settings of the test are good");
        Self { system, random, metrics }
    }

    /// A world whose wires take their time, so that calls side by side interleave.
    pub async fn unhurried_world(&self) -> World {
        let slow = |to| Arc::new(Unhurried { to, random: Arc::clone(&self.random) }) as _;
        self.system.world_through(slow, slow).await
    }

    /// One instance of every function behind API Gateway.
    pub async fn front(&self) -> Routes {
        self.front_in(&self.system.world().await)
    }

    /// One instance of every function in a world of the test's, behind API Gateway.
    #[must_use]
    pub fn front_in(&self, world: &World) -> Routes {
        self.system.front(EventShape::HttpApi, world)
    }

    /// Carries every webhook that the simulated Twilio has for us to one instance, in order. The answers.
    pub async fn deliver_all(&self, front: &Routes) -> Vec<Answer> {
        let mut answers = Vec::new();
        for webhook in self.system.twilio.take_webhooks() {
            answers.push(Answer::of(&system::deliver(&self.system.twilio, front, &webhook).await));
        }
        answers
    }

    /// What [`simulator::Twilio::customer_writes`] makes us be told: the message, and nothing else.
    ///
    /// # Panics
    /// Where the simulated Twilio sends no such webhook.
    #[must_use]
    pub fn message(&self, from: &str, body: &str) -> Request<Bytes> {
        self.system.twilio.customer_writes(from, system::SMS_NUMBER, body);
        let webhooks = self.system.twilio.take_webhooks();
        let message = webhooks.iter().find(|webhook| webhook.event_type == "onMessageAdded");
        self.system.twilio.webhook_request(message.expect("a message fires a webhook"))
    }

    /// A REST call of somebody else, with webhooks. The answer's body.
    ///
    /// # Panics
    /// Where the simulated Twilio refuses it.
    pub async fn rest(&self, method: http::Method, path: &str, form: &str) -> Value {
        let answer = self.ask(method, path, form).await.expect("nothing is lost here");
        assert!(answer.status().is_success(), "{answer:?}");
        serde_json::from_slice(answer.body()).unwrap_or_default()
    }

    /// The same, whatever becomes of it.
    pub async fn ask(
        &self,
        method: http::Method,
        path: &str,
        form: &str,
    ) -> Result<Response<Bytes>, simulator::Lost> {
        let account = self.system.twilio.settings();
        let login = format!("{}:{}", account.account_sid, account.auth_token);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Basic {}", BASE64_STANDARD.encode(login)))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-webhook-enabled", "true")
            .body(Bytes::copy_from_slice(form.as_bytes()))
            .expect("the test writes a good request");
        self.system.twilio.call(request).await
    }

    /// A conversation of somebody by identity, made through the API, without any attributes.
    pub async fn chat_of(&self, identity: &str) -> String {
        let made = self.rest(http::Method::POST, "/v1/Conversations", "").await;
        let sid = made["sid"].as_str().expect("a conversation has a SID").to_owned();
        self.joins(&sid, identity).await;
        sid
    }

    /// Somebody joins a conversation by identity.
    pub async fn joins(&self, conversation: &str, identity: &str) {
        let path = format!("/v1/Conversations/{conversation}/Participants");
        self.rest(http::Method::POST, &path, &format!("Identity={identity}")).await;
    }

    /// A sweep by an instance in a healthy world.
    pub async fn sweep(&self) -> SweepReport {
        system::sweep(&self.system.orphan_sweeper(&self.system.world().await)).await
    }

    /// A minute passes, then a sweep: what happens to every account once a minute.
    pub async fn sweep_after_a_minute(&self) -> SweepReport {
        self.pass(Duration::from_mins(1)).await;
        self.sweep().await
    }

    /// Time passes.
    pub async fn pass(&self, duration: Duration) {
        tokio::time::advance(duration).await;
        self.system.twilio.tick();
    }

    /// The record of a conversation.
    pub async fn record(&self, sid: &str) -> Option<Conversation> {
        self.ledger().await.get(&self.sid(sid), forever()).await.expect("the table answers")
    }

    /// What happened to a conversation.
    pub async fn history(&self, sid: &str) -> Vec<Happening> {
        self.ledger().await.history(&self.sid(sid), forever()).await.expect("the table answers")
    }

    /// A ledger of the test's own.
    pub async fn ledger(&self) -> Ledger {
        let world = self.system.world().await;
        self.system.ledger(&world)
    }

    #[expect(clippy::unused_self, reason = "reads better where it is used")]
    fn sid(&self, sid: &str) -> ConversationSid {
        sid.parse().expect("the simulator makes well-formed SIDs")
    }

    /// The Interactions on a conversation whose channel lives.
    #[must_use]
    pub fn live_interactions(&self, conversation: &str) -> Vec<simulator::Interaction> {
        let mut interactions = self.system.twilio.interactions_on(conversation);
        let over = [ChannelStatus::Failed, ChannelStatus::Closed];
        interactions.retain(|interaction| !over.contains(&interaction.channel.status));
        interactions
    }

    /// How often a metric was counted.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        let lines = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter_map(|line| line[name].as_u64()).sum()
    }

    /// Every metric line.
    #[must_use]
    pub fn metric_lines(&self) -> Vec<String> {
        let lines = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(ToString::to_string).collect()
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

/// An account whose addresses, a web chat among them, send every event that we read.
pub fn every_event(account: &mut simulator::Settings) {
    let events =
        ["onMessageAdded", "onParticipantAdded", "onConversationStateUpdated", "onConversationRemoved"];
    let integration = Integration::Webhook {
        url: format!("{PUBLIC_URL}{CONVERSATIONS_PATH}"),
        method: "POST".to_owned(),
        filters: events.map(str::to_owned).to_vec(),
    };
    account.addresses = [("sms", SMS_NUMBER), ("whatsapp", WHATSAPP_NUMBER), ("chat", "web")]
        .map(|(kind, address)| Address {
            integration: integration.clone(),
            ..Address::webhook(kind, address, "")
        })
        .to_vec();
}

/// A deadline for what a test asks itself.
#[must_use]
pub fn forever() -> Deadline {
    Deadline::within(Duration::from_hours(1))
}

/// An answer of a function, for comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `outcome` of the body, empty where there is none.
    pub outcome: String,
}

impl Answer {
    /// Reads an answer.
    #[must_use]
    pub fn of(response: &Response<Bytes>) -> Self {
        let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
        Self {
            status: response.status().as_u16(),
            outcome: body["outcome"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// An answer to compare with.
    #[must_use]
    pub fn new(status: u16, outcome: &str) -> Self {
        Self { status, outcome: outcome.to_owned() }
    }
}
