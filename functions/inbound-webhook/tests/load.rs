//! The compiled function under hours of traffic, with all that goes wrong in hours: it takes no more memory, no more
//! descriptors and no more threads at the end than when it was warm.
//!
//! `LOAD_EVENTS` says how many events, 2,000 unless it is set. One event at a time, as Lambda gives them, and the
//! next at once.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env,
    net::SocketAddr,
};

use base64::{Engine as _, prelude::BASE64_STANDARD as BASE64};
use bytes::Bytes;
use flexglue::local::{
    gateway::{EventShape, Origin, event},
    system::{CONVERSATIONS_PATH, PUBLIC_URL, SMS_NUMBER},
};
use flexglue_tests::{
    loopback::Account,
    rig::every_event,
    runtime_api::Instance,
    vitals::{Chart, Vitals},
    weather::{Line, Server, Trouble},
};
use http::{Request, Response};
use serde_json::{Value, json};
use shared::random::{Random as _, SeededRandom};
use simulator::{Fault, Matcher, Misbehaviour, Reason, Times};

const BINARY: &str = env!("CARGO_BIN_EXE_inbound-webhook");

/// How many events, unless `LOAD_EVENTS` says it.
const EVENTS: u64 = 2_000;
/// Moments at which its vitals are read.
const MOMENTS: u64 = 200;
/// Conversations that are open at a time.
const OPEN: usize = 100;

/// What the least of its memory may grow by, from the second quarter of the events to the last: this much for how
/// the allocator breathes, and this much for each event in between.
const BREATH: u64 = 64 << 10;
const BYTES_PER_EVENT: u64 = 2;

/// The function, everything that it calls, and the lines between.
struct Site {
    function: Instance,
    account: Account,
    dynamo: Server,
    secrets: Server,
    lines: [Line; 2],
    random: SeededRandom,
    open: VecDeque<(String, String)>,
    recent: VecDeque<Request<Bytes>>,
    customers: u64,
    events: u64,
    seen: BTreeMap<String, u64>,
}

impl Site {
    async fn new() -> Self {
        let mut account = Account::start().await;
        account.twilio.change_settings(every_event);
        let engine = account.dynamo.clone();
        let (dynamo, dynamo_at) = Server::start(move |parts, body| {
            let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
            engine.call(target.unwrap_or_default(), body)
        })
        .await;
        let token = account.environment.remove("TWILIO_AUTH_TOKEN").expect("it is always set");
        let secret = json!({"SecretString": json!({"auth_token": token}).to_string()}).to_string();
        let (secrets, secrets_at) = Server::start(move |_, _| Response::new(secret.clone().into())).await;
        let twilio_at = address(&account.environment["TWILIO_FLEX_API_URL"]);
        let lines = [Line::to(twilio_at).await, Line::to(dynamo_at).await];
        let twilio_url = format!("http://{}", lines[0].address);
        for (name, value) in [
            ("TWILIO_FLEX_API_URL", twilio_url.clone()),
            ("TWILIO_CONVERSATIONS_API_URL", twilio_url.clone()),
            ("TWILIO_TASKROUTER_API_URL", twilio_url),
            ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{}", lines[1].address)),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", format!("http://{secrets_at}")),
            ("TWILIO_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:x-AbCdEf".to_owned()),
        ] {
            account.environment.insert(name.to_owned(), value);
        }
        let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
        Self {
            function,
            account,
            dynamo,
            secrets,
            lines,
            random: SeededRandom::new(1),
            open: VecDeque::new(),
            recent: VecDeque::new(),
            customers: 0,
            events: 0,
            seen: BTreeMap::new(),
        }
    }

    fn draw(&self, most: u64) -> u64 {
        self.random.next() % most
    }

    /// Something happens, and whatever Twilio tells of it is delivered.
    async fn happen(&mut self) {
        match self.draw(100) {
            0..15 => {
                self.customers += 1;
                let from = format!("+1555{:07}", self.customers);
                self.writes(from);
            }
            15..65 => {
                if let Some((from, _)) = self.one_of_the_open() {
                    self.writes(from);
                }
            }
            65..75 => {
                let again = usize::try_from(self.draw(20)).unwrap_or_default();
                if let Some(request) = self.recent.get(again).cloned() {
                    self.deliver("again", &request).await;
                }
            }
            75..80 => {
                if let Some((_, conversation)) = self.one_of_the_open() {
                    self.joins(&conversation).await;
                }
            }
            80..85 => self.refused("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=").await,
            85..88 => self.refused("content-type", "text/plain").await,
            88..91 => {
                let body = "A".repeat(100_000).into();
                let request = Request::post(format!("{PUBLIC_URL}{CONVERSATIONS_PATH}"))
                    .header("content-type", "application/x-www-form-urlencoded");
                self.deliver("too large", &request.body(body).unwrap()).await;
            }
            91..93 => {
                self.events += 1;
                let answer = self.function.invoke(json!({"no": "event of ours"})).await;
                self.note("no event", if answer.is_err() { "error" } else { "answer" });
            }
            _ => self.goes_wrong(),
        }
        if self.open.len() > OPEN
            && let Some((_, conversation)) = self.open.pop_front()
        {
            self.account.twilio.close_conversation(&conversation, Reason::Timer).unwrap();
        }
        for webhook in self.account.twilio.take_webhooks() {
            let request = self.account.twilio.webhook_request(&webhook);
            self.deliver(&webhook.event_type, &request).await;
            self.recent.push_front(request);
            self.recent.truncate(20);
        }
    }

    /// The next call, or every line, gets into trouble.
    fn goes_wrong(&self) {
        let refused =
            |status| Misbehaviour::Status { status, code: 20_000 + u32::from(status), retry_after: None };
        let twilio = |what| {
            self.account.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what });
        };
        let throttled =
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#;
        match self.draw(16) {
            0 => twilio(refused(429)),
            1 | 2 => twilio(refused(503)),
            3 => twilio(Misbehaviour::LostBefore),
            4 => twilio(Misbehaviour::LostAfter),
            5 => twilio(Misbehaviour::Malformed),
            6 => twilio(Misbehaviour::SlowMs(20)),
            7 => self.dynamo.trouble(Trouble::Refused(500, "")),
            8 => self.dynamo.trouble(Trouble::Refused(400, throttled)),
            9 => self.dynamo.trouble(Trouble::Lost),
            10 => self.dynamo.trouble(Trouble::LastOnConnection),
            // As often as it is tried: the table is gone for one event.
            11 => (0..3).for_each(|_| self.dynamo.trouble(Trouble::Refused(500, ""))),
            12 => self.secret_is_refused(),
            13 => self.lines[0].hang_up(),
            14 => self.lines[1].hang_up(),
            // It takes seconds, until the function gives up.
            _ if self.draw(20) == 0 => twilio(Misbehaviour::Hang),
            _ => {}
        }
    }

    fn one_of_the_open(&self) -> Option<(String, String)> {
        let count = u64::try_from(self.open.len()).unwrap_or_default();
        (count > 0).then(|| self.open[usize::try_from(self.draw(count)).unwrap_or_default()].clone())
    }

    fn writes(&mut self, from: String) {
        let written = self.account.twilio.customer_writes(&from, SMS_NUMBER, "Hello, is anybody there?");
        if written.index == 0 {
            self.open.push_back((from, written.conversation_sid));
        }
    }

    /// An agent joins by identity.
    async fn joins(&self, conversation: &str) {
        let account = self.account.twilio.settings();
        let login = format!("{}:{}", account.account_sid, account.auth_token);
        let request = Request::post(format!("/v1/Conversations/{conversation}/Participants"))
            .header("authorization", format!("Basic {}", BASE64.encode(login)))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-webhook-enabled", "true")
            .body(Bytes::from_static(b"Identity=alice_40example_2Ecom"));
        // A fault that waits is the function's to meet, not ours.
        self.account.twilio.behave();
        assert!(self.account.twilio.call(request.unwrap()).await.is_ok());
    }

    /// A request of Twilio's with something wrong about it.
    async fn refused(&mut self, header: &'static str, value: &'static str) {
        if let Some(mut request) = self.recent.front().cloned() {
            request.headers_mut().insert(header, http::HeaderValue::from_static(value));
            self.deliver(header, &request).await;
        }
    }

    async fn deliver(&mut self, what: &str, request: &Request<Bytes>) {
        self.events += 1;
        let origin = Origin {
            domain_name: PUBLIC_URL.trim_start_matches("https://").to_owned(),
            stage: "$default".to_owned(),
            source_ip: "54.172.60.0".to_owned(),
            request_id: format!("load-{}", self.events),
            time_epoch_ms: 1_800_000_000_000,
        };
        let answer = self.function.invoke(event(EventShape::HttpApi, request, &origin)).await.unwrap();
        let body: Value =
            answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        self.note(
            what,
            &format!("{} {}", answer["statusCode"], body["outcome"].as_str().unwrap_or_default()),
        );
    }

    fn note(&mut self, what: &str, outcome: &str) {
        *self.seen.entry(format!("{what}: {outcome}")).or_default() += 1;
    }

    /// A forged request makes it read the secret again, and it may not.
    async fn refuse_a_fresh_secret(&mut self) {
        self.writes("+15550000000".to_owned());
        for webhook in self.account.twilio.take_webhooks() {
            let request = self.account.twilio.webhook_request(&webhook);
            self.deliver(&webhook.event_type, &request).await;
            self.recent.push_front(request);
        }
        self.secret_is_refused();
        self.refused("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=").await;
        assert_eq!(self.secrets.ahead(), 0, "the secret was asked for");
    }

    /// The next time that the secret is read it is refused, and when it is tried again too.
    fn secret_is_refused(&self) {
        while self.secrets.ahead() < 3 {
            self.secrets.trouble(Trouble::Refused(500, ""));
        }
    }

    fn tell_outcomes(&self) {
        for (what, times) in &self.seen {
            println!("{times:>8}  {what}");
        }
    }

    /// All that was to happen has happened.
    fn assert_it_was_bad_weather(&self) {
        for what in [
            "again: 200 already_open",
            "content-type: 415 ",
            "no event: error",
            "onConversationStateUpdated: 200 ignored",
            "onMessageAdded: 200 already_open",
            "onMessageAdded: 200 created",
            "onMessageAdded: 202 deferred",
            "onMessageAdded: 503 ",
            "onParticipantAdded: 200 ignored",
            "too large: 413 ",
            "x-twilio-signature: 403 ",
        ] {
            assert!(self.seen.contains_key(what), "{what}: never seen");
        }
        let answered: BTreeSet<_> =
            self.account.twilio.requests().into_iter().map(|request| request.status).collect();
        for status in [None, Some(200), Some(429), Some(503)] {
            assert!(answered.contains(&status), "Twilio never answered {status:?}");
        }
        assert!(self.dynamo.ahead() <= 3, "DynamoDB failed as it was told");
        assert!(self.function.logs().stdout.contains("going on with the secret read before"));
    }

    fn vitals(&self) -> Vitals {
        Vitals::of(self.function.process_id().expect("it runs")).unwrap()
    }
}

fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_of_traffic_cost_no_memory_no_descriptors_and_no_threads() {
    let events = env::var("LOAD_EVENTS").ok().map_or(EVENTS, |count| count.parse().expect("a number"));
    let mut site = Site::new().await;
    site.refuse_a_fresh_secret().await;
    let mut chart = Chart::default();
    for moment in 1..=MOMENTS {
        while site.events < events * moment / MOMENTS {
            site.happen().await;
        }
        chart.add(site.vitals());
    }
    site.tell_outcomes();
    for quarter in 0..4 {
        tell(&chart, quarter);
    }
    let growth = chart.growth(|vitals| vitals.memory);
    let slope = chart.slope() * 1000 * i64::try_from(MOMENTS).unwrap() / i64::try_from(events).unwrap();
    println!("{events} events: grown by {growth} bytes, {slope} bytes for 1,000 events");

    site.assert_it_was_bad_weather();
    let allowed = BREATH + BYTES_PER_EVENT * events / 2;
    assert!(growth <= allowed, "memory has grown by {growth} bytes, {allowed} may be");
    let slopes = i64::try_from(allowed * 2000 / events).unwrap();
    assert!(slope <= slopes, "memory grows by {slope} bytes for 1,000 events, {slopes} may be");
    for (name, what) in TAKEN {
        let (warm, last) = (chart.most(1, what), chart.most(3, what));
        assert!(last <= warm + 2, "{name}: {last} at the end, {warm} when warm");
    }
}

type Count = fn(&Vitals) -> u64;

/// What is counted. One or two more at a moment are a connection that is about to be closed.
const TAKEN: [(&str, Count); 2] =
    [("descriptors", |vitals| vitals.descriptors), ("threads", |vitals| vitals.threads)];

fn tell(chart: &Chart, quarter: usize) {
    let range = |what: Count| (chart.least(quarter, what), chart.most(quarter, what));
    let (least, most) = range(|vitals| vitals.memory >> 10);
    let [descriptors, threads] = TAKEN.map(|(_, what)| range(what));
    let ever = chart.most(quarter, |vitals| vitals.most_memory) >> 10;
    println!(
        "quarter {}: {least} to {most} KiB ({ever} at most ever), {} to {} descriptors, {} to {} threads",
        quarter + 1,
        descriptors.0,
        descriptors.1,
        threads.0,
        threads.1
    );
}
