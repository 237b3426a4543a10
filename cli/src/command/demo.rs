//! `flexglue demo`: the story of flexglue, told on embedded parts: the real handlers, the real AWS SDK, an
//! embedded DynamoDB and a simulated Twilio, in this process. Every line says what was expected and what was
//! seen; a line that differs makes the exit code 1.

mod web_chat;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anstream::println;
use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use futures_util::future::join_all;
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use orphan_sweeper::OrphanSweeper;
use serde::Serialize;
use serde_json::{Value, json};
use shared::{
    clock::{Clock, SystemClock},
    random::SystemRandom,
    rescue,
};
use simulator::{ChannelStatus, Fault, Matcher, Misbehaviour, TaskStatus, Times};

use super::paint::{BAD, FAINT, GOOD, HEADING, paint};
use crate::local::{
    clock::MovedClock,
    dynamodb::Dynamo,
    gateway::{EventShape, Routes},
    system::{self, Options, PUBLIC_URL, SMS_NUMBER, System},
};

/// Options of `flexglue demo`.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Prints one JSON object per line instead of the story
    #[arg(long)]
    json: bool,
}

/// One line of the story.
#[derive(Debug, Serialize)]
struct Line {
    chapter: &'static str,
    what: String,
    expected: String,
    seen: String,
    holds: bool,
}

/// The stage on which the story is told.
struct Stage {
    system: System,
    front: Routes,
    sweeper: OrphanSweeper,
    clock: Arc<MovedClock>,
    chapter: &'static str,
    lines: Vec<Line>,
    json: bool,
}

const CHAPTERS: [&str; 9] = [
    "An SMS arrives",
    "Fifty of the same at once",
    "A forged one",
    "Twilio is down for a while",
    "Twilio's answer is lost",
    "Nobody takes the task",
    "The webhook is lost",
    "Two agents reach out to one customer",
    "Somebody chats on our site",
];

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut stage = Stage::set(self.json).await?;
        stage.an_sms_arrives().await?;
        stage.fifty_at_once().await?;
        stage.a_forged_one().await?;
        stage.twilio_is_down().await?;
        stage.an_answer_is_lost().await?;
        stage.nobody_takes_the_task().await?;
        stage.the_webhook_is_lost().await?;
        stage.two_agents_reach_out().await?;
        stage.somebody_chats().await?;
        Ok(stage.curtain())
    }
}

impl Stage {
    async fn set(json: bool) -> anyhow::Result<Self> {
        let clock = Arc::new(MovedClock::over(Arc::new(SystemClock)));
        let seconds = Arc::clone(&clock);
        let system = System::new(Options {
            // Twilio's own guard against duplicates is off: whatever holds here holds without its help.
            simulator: simulator::Settings { duplicate_guard: false, ..simulator::Settings::default() },
            dynamo: Dynamo::memory_with_clock(Arc::new(move || seconds.now().as_seconds()))?,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            random: Arc::new(SystemRandom),
            emit: Arc::new(|_| {}),
            variables: std::collections::BTreeMap::new(),
            public_url: PUBLIC_URL.to_owned(),
        })?;
        let world = system.world().await;
        let front = system.front(EventShape::HttpApi, &world);
        let sweeper = system.orphan_sweeper(&world);
        if !json {
            println!("{}", paint(HEADING, "flexglue demo"));
            println!(
                "{}",
                paint(
                    FAINT,
                    "The real handlers and the real AWS SDK against an embedded DynamoDB and a simulated"
                )
            );
            println!(
                "{}",
                paint(
                    FAINT,
                    "Twilio, in this process. No account, no network. Minutes pass on a clock that is moved."
                )
            );
        }
        Ok(Self { system, front, sweeper, clock, chapter: "", lines: Vec::new(), json })
    }

    fn chapter(&mut self, number: usize) {
        self.chapter = CHAPTERS[number];
        if !self.json {
            let heading = format!("{}. {}", number + 1, self.chapter);
            println!(
                "\n{} {}",
                paint(HEADING, format!("{heading:<49}")),
                paint(FAINT, "expected          seen")
            );
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "the story reads better without borrows")]
    /// One line: what is looked at, what it should be, what it is.
    fn expect(&mut self, what: impl Into<String>, expected: impl ToString, seen: impl ToString) {
        let (expected, seen) = (expected.to_string(), seen.to_string());
        let line = Line { chapter: self.chapter, what: what.into(), holds: expected == seen, expected, seen };
        if self.json {
            println!("{}", serde_json::to_string(&line).unwrap_or_default());
        } else {
            let (mark, style) = if line.holds { ("✓", GOOD) } else { ("✗", BAD) };
            let Line { what, expected, seen, .. } = &line;
            println!(
                "  {} {what:<46} {} {}",
                paint(style, mark),
                paint(FAINT, format!("{expected:<17}")),
                paint(style, seen)
            );
        }
        self.lines.push(line);
    }

    fn curtain(self) -> ExitCode {
        let broken = self.lines.iter().filter(|line| !line.holds).count();
        let held = self.lines.len() - broken;
        if !self.json {
            let text = format!("\n{held} of {} held", self.lines.len());
            println!("{}", paint(if broken == 0 { GOOD } else { BAD }, text));
        }
        if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// A customer writes. The signed webhook that Twilio makes of it, and its conversation.
    fn customer_writes(&self, from: &str, body: &str) -> anyhow::Result<(Request<Bytes>, String)> {
        let written = self.system.twilio.customer_writes(from, SMS_NUMBER, body);
        let webhook = self.system.twilio.take_webhooks().pop().context("Twilio sends a webhook")?;
        Ok((self.system.twilio.webhook_request(&webhook), written.conversation_sid))
    }

    fn live_interactions(&self, conversation: &str) -> usize {
        let over = [ChannelStatus::Failed, ChannelStatus::Closed];
        let interactions = self.system.twilio.interactions_on(conversation);
        interactions.iter().filter(|interaction| !over.contains(&interaction.channel.status)).count()
    }

    /// What the table says of a conversation.
    fn recorded(&self, conversation: &str) -> anyhow::Result<String> {
        let items = self.system.dynamo.items(&self.system.settings.table)?;
        let record = items.iter().find(|item| item["sid"] == conversation && item["sk"] == "record");
        Ok(record.and_then(|record| record["stage"].as_str()).unwrap_or("nothing").to_owned())
    }

    async fn a_minute_passes(&self) -> orphan_sweeper::SweepReport {
        self.clock.advance(Duration::from_mins(1));
        self.system.twilio.tick();
        system::sweep(&self.sweeper).await
    }

    fn interactions_fail(&self, times: Times, what: Misbehaviour) {
        self.system.twilio.misbehave(Fault { on: Matcher::route("POST /v1/Interactions"), times, what });
    }

    async fn an_sms_arrives(&mut self) -> anyhow::Result<()> {
        self.chapter(0);
        let (request, sid) = self.customer_writes("+15551230001", "Hello, my parcel is lost")?;
        self.expect("the table knows", "nothing", self.recorded(&sid)?);
        let answer = self.front.handle(request.clone()).await;
        self.expect("the signed webhook is answered", "200 created", said(&answer));
        self.expect("Interactions at Twilio", 1, self.live_interactions(&sid));
        self.expect("the table knows", "setting_up", self.recorded(&sid)?);
        let answer = self.front.handle(request).await;
        self.expect("the same webhook again", "200 already_open", said(&answer));
        let (request, _) = self.customer_writes("+15551230001", "Are you there?")?;
        let answer = self.front.handle(request).await;
        self.expect("the customer's next message", "200 already_open", said(&answer));
        self.a_minute_passes().await;
        self.expect("a minute later the sweeper has seen it stand", "open", self.recorded(&sid)?);
        Ok(())
    }

    async fn fifty_at_once(&mut self) -> anyhow::Result<()> {
        self.chapter(1);
        let (request, sid) = self.customer_writes("+15551230002", "Hello?")?;
        let answers = join_all((0..50).map(|_| self.front.handle(request.clone()))).await;
        let outcomes: Vec<String> = answers.iter().map(said).collect();
        let count = |wanted: &[&str]| outcomes.iter().filter(|said| wanted.contains(&said.as_str())).count();
        self.expect("answered created", 1, count(&["200 created"]));
        self.expect(
            "answered already_open or in_progress",
            49,
            count(&["200 already_open", "200 in_progress"]),
        );
        self.expect("Interactions at Twilio, its own guard off", 1, self.live_interactions(&sid));
        Ok(())
    }

    async fn a_forged_one(&mut self) -> anyhow::Result<()> {
        self.chapter(2);
        let (request, sid) = self.customer_writes("+15551230003", "Hello")?;
        let mut forged = request.clone();
        let body = String::from_utf8_lossy(forged.body()).replace("Hello", "Hullo");
        *forged.body_mut() = body.into();
        let answer = self.front.handle(forged).await;
        self.expect("one letter of the body is changed", "403 refused", said(&answer));
        self.expect("the table knows", "nothing", self.recorded(&sid)?);
        self.expect("Interactions at Twilio", 0, self.live_interactions(&sid));
        let answer = self.front.handle(request).await;
        self.expect("the true one", "200 created", said(&answer));
        Ok(())
    }

    async fn twilio_is_down(&mut self) -> anyhow::Result<()> {
        self.chapter(3);
        self.system.twilio.misbehave(Fault {
            on: Matcher::Any,
            times: Times::Forever,
            what: Misbehaviour::Status { status: 503, code: 20503, retry_after: None },
        });
        let (request, sid) = self.customer_writes("+15551230004", "Is this thing on?")?;
        let answer = self.front.handle(request).await;
        self.expect("every call to Twilio is answered 503", "202 deferred", said(&answer));
        for _ in 0..3 {
            self.a_minute_passes().await;
        }
        self.expect("three minutes later, still waiting", 0, self.live_interactions(&sid));
        self.system.twilio.behave();
        for _ in 0..2 {
            self.a_minute_passes().await;
        }
        self.expect("Twilio is back; two sweeps later", 1, self.live_interactions(&sid));
        self.expect("the table knows", "open", {
            self.a_minute_passes().await;
            self.recorded(&sid)?
        });
        Ok(())
    }

    async fn an_answer_is_lost(&mut self) -> anyhow::Result<()> {
        self.chapter(4);
        self.interactions_fail(Times::Next(1), Misbehaviour::LostAfter);
        let (request, sid) = self.customer_writes("+15551230005", "Hello")?;
        let answer = self.front.handle(request).await;
        self.expect("Twilio acts, but its answer is lost", "202 deferred", said(&answer));
        self.expect("the claim stands", "claimed", self.recorded(&sid)?);
        let report = self.a_minute_passes().await;
        self.expect("a minute later the sweeper asks Twilio first", 1, report.finished);
        self.expect("Interactions at Twilio", 1, self.live_interactions(&sid));
        Ok(())
    }
}

impl Stage {
    /// Twilio calls back, as often as something comes of it.
    async fn twilio_calls_back(&self) {
        loop {
            let webhooks = self.system.twilio.take_webhooks();
            if webhooks.is_empty() {
                return;
            }
            for webhook in webhooks {
                system::deliver(&self.system.twilio, &self.front, &webhook).await;
            }
        }
    }

    async fn minutes_pass(&self, minutes: u32) {
        for _ in 0..minutes {
            self.a_minute_passes().await;
            self.twilio_calls_back().await;
        }
    }

    /// What flexglue has told the customer of a conversation.
    fn told(&self, conversation: &str) -> usize {
        let messages = self.system.twilio.messages(conversation);
        messages.iter().filter(|message| message.author == rescue::AUTHOR).count()
    }

    fn waiting_tasks(&self, conversation: &str) -> usize {
        let on =
            |task: &&simulator::Task| task.attributes.get("conversationSid") == Some(&conversation.into());
        self.system.twilio.tasks().iter().filter(on).filter(|task| task.status == TaskStatus::Pending).count()
    }

    fn state(&self, conversation: &str) -> &'static str {
        self.system.twilio.conversation(conversation).map_or("gone", |found| found.state.as_str())
    }

    async fn nobody_takes_the_task(&mut self) -> anyhow::Result<()> {
        self.chapter(5);
        self.system.twilio.change_settings(|account| {
            system::call_back(account, PUBLIC_URL);
            account.workflow_timeout_s = Some(600);
        });
        let sid =
            self.system.twilio.customer_writes("+15551230006", SMS_NUMBER, "Anybody there?").conversation_sid;
        self.twilio_calls_back().await;
        self.expect("a task waits for an agent", 1, self.waiting_tasks(&sid));
        self.minutes_pass(10).await;
        self.expect("its workflow gives up: the customer is told", 1, self.told(&sid));
        self.expect("agents are invited again", 1, self.waiting_tasks(&sid));
        self.minutes_pass(10).await;
        self.expect("and once more, but nothing is said twice", 1, self.told(&sid));
        self.expect("re-invites", 2, self.recorded_number(&sid, "reinvites")?);
        self.minutes_pass(12).await;
        self.expect("after that the customer is told the last word", 2, self.told(&sid));
        self.expect("the conversation", "closed", self.state(&sid));
        self.expect("the table knows", "closed", self.recorded(&sid)?);
        self.system.twilio.change_settings(|account| {
            account.event_callback_url = None;
            account.workflow_timeout_s = None;
        });
        Ok(())
    }

    async fn the_webhook_is_lost(&mut self) -> anyhow::Result<()> {
        self.chapter(6);
        let sid = self.system.twilio.customer_writes("+15551230007", SMS_NUMBER, "Hello?").conversation_sid;
        let _never_delivered = self.system.twilio.take_webhooks();
        self.expect("nobody tells us; the table knows", "nothing", self.recorded(&sid)?);
        let mut adopted = 0;
        for _ in 0..8 {
            adopted += self.a_minute_passes().await.adopted;
        }
        self.expect("within eight minutes the sweeper finds it", 1, adopted);
        self.expect("Interactions at Twilio", 1, self.live_interactions(&sid));
        Ok(())
    }

    async fn two_agents_reach_out(&mut self) -> anyhow::Result<()> {
        self.chapter(7);
        let customer = "+15551230008";
        let workers = self.system.twilio.settings().workers;
        let (alice, bob) = (workers.first().context("an agent")?, workers.get(1).context("another")?);
        let answer = self.reach_out(alice, customer, "reject").await;
        self.expect("Alice reaches out to a customer", "201 open", said(&answer));
        let sid = member(&answer, "conversation_sid");
        self.a_minute_passes().await;
        self.expect("she has the task", 1, self.agents_on(&sid));
        let before = self.system.twilio.conversations().len();
        let answer = self.reach_out(bob, customer, "reject").await;
        self.expect("Bob does, a minute later", 409, answer.status().as_u16());
        let told = if member(&answer, "conversation_sid") == sid { "hers" } else { "another" };
        self.expect("he is told of which conversation", "hers", told);
        let left = self.system.twilio.conversations().len() - before;
        self.expect("conversations left behind", 0, left);
        let answer = self.reach_out(bob, customer, "join").await;
        self.expect("he asks to join", "200 open", said(&answer));
        self.expect("he is not added", 1, self.agents_on(&sid));
        let accepted = self.system.twilio.agent_accepts(&member(&answer, "task_sid"), &bob.sid);
        self.expect("but invited, and accepts", true, accepted.is_ok());
        self.expect("both are in it", 2, self.agents_on(&sid));
        self.expect("Interactions at Twilio", 1, self.live_interactions(&sid));
        Ok(())
    }

    /// An agent reaches out, as their Flex plugin does it.
    async fn reach_out(
        &self,
        agent: &simulator::Worker,
        customer: &str,
        on_conflict: &str,
    ) -> Response<Bytes> {
        let account = self.system.twilio.settings();
        let token = self.system.twilio.flex_token(&agent.identity, &["agent"], Some(&agent.sid), DAY_MS);
        let body = json!({
            "to": customer, "from": SMS_NUMBER, "channel": "sms", "initiated_by": "agent",
            "worker_sid": agent.sid, "queue_sid": account.queue_sid, "on_conflict": on_conflict,
            "message": {"body": "Hello, about your order"},
        });
        let key = format!("{}-{on_conflict}", agent.identity);
        let headers =
            [("content-type", "application/json"), ("idempotency-key", &*key), ("x-flex-token", &*token)];
        let mut request = Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("https://flexglue.example/outbound");
        for (name, value) in headers {
            // Made of letters, digits and dots.
            request.headers_mut().extend(
                HeaderValue::from_str(value).ok().map(|value| (HeaderName::from_static(name), value)),
            );
        }
        self.front.handle(request).await
    }

    fn agents_on(&self, conversation: &str) -> usize {
        let participants = self.system.twilio.participants(conversation);
        participants.iter().filter(|participant| participant.identity.is_some()).count()
    }

    fn recorded_number(&self, conversation: &str, name: &str) -> anyhow::Result<u64> {
        let items = self.system.dynamo.items(&self.system.settings.table)?;
        let record = items.iter().find(|item| item["sid"] == conversation && item["sk"] == "record");
        Ok(record.and_then(|record| record[name].as_u64()).unwrap_or_default())
    }
}

/// Status and outcome of an answer.
fn said(answer: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let word =
        ["outcome", "error", "status"].into_iter().find_map(|name| body[name].as_str()).unwrap_or_default();
    format!("{} {word}", answer.status().as_u16())
}

/// A text of an answer's body.
fn member(answer: &Response<Bytes>, name: &str) -> String {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    body[name].as_str().unwrap_or_default().to_owned()
}

/// How long the agents' tokens live.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_that_differs_makes_the_exit_code_1() {
        let mut stage = Stage::set(true).await.unwrap();
        stage.expect("as it should be", 1, 1);
        assert_eq!(format!("{:?}", stage.curtain()), format!("{:?}", ExitCode::SUCCESS));
        let mut stage = Stage::set(true).await.unwrap();
        stage.expect("as it should be", 1, 1);
        stage.expect("a broken promise", 1, 2);
        assert_eq!(format!("{:?}", stage.curtain()), format!("{:?}", ExitCode::FAILURE));
    }
}
