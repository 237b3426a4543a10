//! Life stories, drawn from printed seeds: customers write, agents come, decline, park, transfer and go, workflows
//! give up, people cancel and delete tasks; callbacks are lost, doubled, late and out of order, Twilio fails now
//! and then, and processes are killed. However it goes, in the end it must be true that
//!
//! - no conversation is open in which nobody is, to which nobody is on the way, and that nobody parked,
//! - none was closed by flexglue while an agent was in it,
//! - no customer was told the same thing twice,
//! - agents were never invited again more often than they may be,
//! - and no conversation has two living Interactions.

use std::{collections::BTreeMap, time::Duration};

use flexglue::local::{
    gateway::Routes,
    system::{self, PUBLIC_URL, SMS_NUMBER, call_back},
};
use flexglue_tests::{
    rig::{CUSTOMER, Rig, every_event},
    wires::Fuse,
};
use http::Method;
use serde_json::Value;
use shared::clock::Timestamp;
use simulator::{
    ChannelStatus, Conversation, ConversationState, Fault, Matcher, Misbehaviour, ParticipantKind, Reason,
    Task, TaskStatus, Times, Webhook,
};

const MAX_REINVITES: usize = 2;

struct Story {
    rig: Rig,
    front: Routes,
    /// Webhooks that come later.
    late: Vec<Webhook>,
    /// Tasks that people asked for. They carry the attributes of the task they come from, ours included.
    by_people: Vec<String>,
    /// What happened, for whoever must find out why a story went wrong.
    told: Vec<String>,
    /// What is wrong.
    wrong: Option<String>,
}

/// How conversations stood, to see who closed one that an agent was in.
type Before = BTreeMap<String, bool>;

impl Story {
    async fn begin(seed: u64) -> Self {
        let draw = fastrand::Rng::with_seed(seed);
        let mut of_account = draw.clone();
        let rig = Rig::with(
            seed,
            |account| {
                let draw = &mut of_account;
                if draw.bool() {
                    every_event(account);
                }
                call_back(account, PUBLIC_URL);
                account.duplicate_guard = draw.bool();
                account.list_hides_task_attributes = draw.bool();
                account.closing_ends_channel = draw.bool();
                account.task_events_carry_sid = draw.bool();
                account.set_up_ms = draw.u64(0..20_000);
                account.workflow_timeout_s = [None, Some(0), Some(60), Some(900)][draw.usize(0..4)];
                account.attribute_queries_per_second = draw.bool().then_some(3);
            },
            &[],
        );
        let front = rig.front().await;
        Self { rig, front, late: Vec::new(), by_people: Vec::new(), told: Vec::new(), wrong: None }
    }

    fn draw(&self, most: u64) -> u64 {
        self.rig.random.next() % most
    }

    fn one_of<T: Clone>(&self, all: &[T]) -> Option<T> {
        let count = u64::try_from(all.len()).unwrap_or(1);
        (count > 0).then(|| all[usize::try_from(self.draw(count)).unwrap_or_default()].clone())
    }

    fn tell(&mut self, what: impl Into<String>) {
        let now = self.rig.system.clock.now();
        self.told.push(format!("{now} {}", what.into()));
    }

    fn twilio(&self) -> &simulator::Twilio {
        &self.rig.system.twilio
    }

    fn live_tasks(&self) -> Vec<Task> {
        let mut tasks = self.twilio().tasks();
        tasks.retain(|task| !matches!(task.status, TaskStatus::Canceled | TaskStatus::Completed));
        tasks
    }

    fn open_conversations(&self) -> Vec<Conversation> {
        let mut conversations = self.twilio().conversations();
        conversations.retain(|conversation| conversation.state != ConversationState::Closed);
        conversations
    }

    /// Whether an agent with a living task is in a conversation.
    fn has_agent(&self, conversation: &str) -> bool {
        let lives = |task: &Option<String>| {
            let task = task.as_ref().and_then(|task| self.twilio().task(task));
            task.is_some_and(|task| !matches!(task.status, TaskStatus::Canceled | TaskStatus::Completed))
        };
        self.twilio().interactions_on(conversation).iter().any(|interaction| {
            interaction.channel.status == ChannelStatus::Active
                && interaction.channel.participants.iter().any(|participant| {
                    participant.kind == ParticipantKind::Agent && lives(&participant.task_sid)
                })
        })
    }

    fn before(&self) -> Before {
        let open = self.open_conversations();
        open.into_iter()
            .map(|conversation| (conversation.sid.clone(), self.has_agent(&conversation.sid)))
            .collect()
    }

    /// flexglue did something: has it closed a conversation that an agent was in?
    fn check_closings(&mut self, before: &Before) {
        for (conversation, had_agent) in before {
            let closed = self
                .twilio()
                .conversation(conversation)
                .is_none_or(|now| now.state == ConversationState::Closed);
            if closed && *had_agent {
                self.wrong = Some(format!("{conversation} was closed with an agent in it"));
            }
        }
    }

    /// Something happens.
    async fn step(&mut self) {
        match self.draw(22) {
            0..=3 => {
                let customer = if self.draw(3) == 0 { "+15551230002" } else { CUSTOMER };
                let written = self.twilio().customer_writes(customer, SMS_NUMBER, "hello");
                self.tell(format!("{customer} writes in {}", written.conversation_sid));
            }
            4..=7 => {
                self.agent("accepts", |twilio, task, worker| twilio.agent_accepts(task, worker).map(nothing));
            }
            8 => {
                self.agent("rejects", |twilio, task, worker| twilio.agent_rejects(task, worker).map(nothing));
            }
            9 => self.agent("does not answer", |twilio, task, worker| {
                twilio.reservation_times_out(task, worker).map(nothing)
            }),
            10 => self.agent("parks", |twilio, task, _| twilio.agent_parks(task).map(nothing)),
            11 => self.agent("leaves", |twilio, task, _| twilio.agent_leaves(task).map(nothing)),
            12 => self.agent("writes", |twilio, task, _| twilio.agent_writes(task, "hi").map(nothing)),
            13 => self.agent("ends the chat", |twilio, task, _| {
                twilio.agent_ends_chat(task)?;
                twilio.task_completes(task).map(nothing)
            }),
            14 => {
                let direct = self.draw(2) == 0;
                self.agent("invites another", |twilio, task, worker| {
                    twilio.agent_invites(task, direct.then_some(worker))
                });
            }
            15 => {
                let (direct, warm) = (self.draw(2) == 0, self.draw(2) == 0);
                self.agent("transfers", |twilio, task, worker| {
                    twilio.agent_transfers(task, direct.then_some(worker), warm)
                });
            }
            16 => self.agent("has it deleted", |twilio, task, _| twilio.task_is_deleted(task).map(nothing)),
            17 => self.somebody_cancels().await,
            18 => {
                let interactions = self.twilio().interactions();
                if let Some(interaction) = self.one_of(&interactions)
                    && let Ok(task) = self.twilio().plugin_unparks(&interaction.sid)
                {
                    self.by_people.push(task);
                    self.tell(format!("{} is unparked", interaction.sid));
                }
            }
            19 => self.twilio_fails(),
            20 if self.draw(3) == 0 => {
                let open = self.open_conversations();
                if let Some(conversation) = self.one_of(&open) {
                    self.tell(format!("{} is closed behind our back", conversation.sid));
                    let _ = self.twilio().close_conversation(&conversation.sid, Reason::Timer);
                }
            }
            _ => {}
        }
    }

    fn agent<T: Into<Option<String>>>(
        &mut self,
        what: &str,
        act: impl Fn(&simulator::Twilio, &str, &str) -> Result<T, simulator::Refusal>,
    ) {
        let Some(task) = self.one_of(&self.live_tasks()) else { return };
        let workers = self.twilio().settings().workers;
        let Some(worker) = self.one_of(&workers) else { return };
        if let Ok(made) = act(self.twilio(), &task.sid, &worker.sid) {
            self.by_people.extend(made.into());
            self.tell(format!("{} of {}: {what}", worker.sid, task.sid));
        }
    }

    async fn somebody_cancels(&mut self) {
        let mut tasks = self.live_tasks();
        tasks.retain(|task| matches!(task.status, TaskStatus::Pending | TaskStatus::Reserved));
        let Some(task) = self.one_of(&tasks) else { return };
        self.tell(format!("{} is canceled", task.sid));
        let workspace = self.twilio().settings().workspace_sid;
        let path = format!("/v1/Workspaces/{workspace}/Tasks/{}", task.sid);
        let _ = self.rig.ask(Method::POST, &path, "AssignmentStatus=canceled").await;
    }

    fn twilio_fails(&mut self) {
        let what = match self.draw(6) {
            0 => Misbehaviour::LostBefore,
            1 => Misbehaviour::Status { status: 429, code: 20429, retry_after: None },
            2 => Misbehaviour::Status { status: 503, code: 20503, retry_after: None },
            3 => Misbehaviour::FailSetUp { code: 45381 },
            4 => Misbehaviour::Malformed,
            _ => Misbehaviour::LostAfter,
        };
        self.tell(format!("Twilio fails: {what:?}"));
        let times = Times::Next(u32::try_from(self.draw(6)).unwrap_or_default() + 1);
        self.twilio().misbehave(Fault { on: Matcher::Any, times, what });
    }

    /// Webhooks arrive, more or less.
    async fn deliver(&mut self) {
        for _ in 0..4 {
            let mut webhooks = self.twilio().take_webhooks();
            if self.draw(3) == 0 {
                webhooks.append(&mut self.late);
            }
            if webhooks.is_empty() {
                return;
            }
            if self.draw(3) == 0 {
                webhooks.reverse();
            }
            for webhook in webhooks {
                let what = &webhook.event_type;
                match self.draw(10) {
                    0 => self.tell(format!("lost: {what}")),
                    1 => self.late.push(webhook),
                    2 => {
                        self.tell(format!("twice: {what}"));
                        self.carry(&webhook).await;
                        self.carry(&webhook).await;
                    }
                    3 => {
                        let step = usize::try_from(self.draw(24)).unwrap_or_default();
                        self.tell(format!("killed at step {step}: {what}"));
                        let fuse = Fuse::at(step);
                        let world =
                            self.rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
                        let doomed = self.rig.front_in(&world);
                        let before = self.before();
                        fuse.guard(system::deliver(&self.rig.system.twilio, &doomed, &webhook)).await;
                        self.check_closings(&before);
                    }
                    _ => self.carry(&webhook).await,
                }
            }
        }
    }

    async fn carry(&mut self, webhook: &Webhook) {
        let before = self.before();
        let answer = system::deliver(&self.rig.system.twilio, &self.front, webhook).await.status().as_u16();
        self.tell(format!("{}: {answer}", webhook.event_type));
        assert!(answer < 500, "{} is answered {answer}", webhook.event_type);
        self.check_closings(&before);
    }

    async fn sweep(&mut self) {
        let before = self.before();
        if self.draw(8) == 0 {
            let step = usize::try_from(self.draw(70)).unwrap_or_default();
            self.tell(format!("the sweeper is killed at step {step}"));
            let fuse = Fuse::at(step);
            let world = self.rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
            let sweeper = self.rig.system.orphan_sweeper(&world);
            fuse.guard(system::sweep(&sweeper)).await;
        } else {
            let report = self.rig.sweep().await;
            self.tell(format!("{report:?}"));
        }
        self.check_closings(&before);
    }

    async fn live(&mut self) {
        for _ in 0..self.draw(24) + 6 {
            self.step().await;
            self.deliver().await;
            let pause = [0, 1, 30, 60, 61, 300, 1200][usize::try_from(self.draw(7)).unwrap_or_default()];
            self.rig.pass(Duration::from_secs(pause)).await;
            if pause >= 60 {
                self.sweep().await;
            }
            self.deliver().await;
        }
    }

    /// People are quiet, Twilio behaves, and no webhook arrives any more: the sweeper alone comes to an end with
    /// all of it, in half a day. It comes once a minute at first, then less often than it really does.
    async fn come_to_rest(&mut self) {
        self.tell("people are quiet");
        self.twilio().behave();
        let rest = self.rig.system.clock.now() + Duration::from_hours(12);
        for sweeps in 0.. {
            let shortest = Duration::from_mins(if sweeps < 12 { 1 } else { 40 });
            let now = self.rig.system.clock.now();
            let pause = match self.next_due() {
                Some(due) if due < rest => due.since(now).max(shortest),
                _ => break,
            };
            self.rig.pass(pause).await;
            let before = self.before();
            let report = self.rig.sweep().await;
            self.tell(format!("{report:?}"));
            self.check_closings(&before);
            let _ = self.twilio().take_webhooks();
        }
    }

    /// When the next record is due, or discovery goes round again for the first time.
    fn next_due(&self) -> Option<Timestamp> {
        let items = self.rig.system.dynamo.items(&self.rig.system.settings.table).expect("the table answers");
        let due = items.iter().filter_map(|item| item["due_at"].as_u64()).min().map(Timestamp::from_millis);
        let unknown = self.open_conversations().into_iter().any(|conversation| {
            let known = |item: &Value| item["sid"] == conversation.sid.as_str() && item["stage"] != "seen";
            !items.iter().any(known)
        });
        if unknown { Some(self.rig.system.clock.now() + Duration::from_mins(5)) } else { due }
    }

    async fn end(&mut self) -> Result<(), String> {
        if let Some(wrong) = self.wrong.take() {
            return Err(wrong);
        }
        let events = self.events().await;
        for conversation in self.twilio().conversations() {
            self.judge(&conversation, &events)?;
        }
        Ok(())
    }

    fn judge(&self, conversation: &Conversation, events: &[Value]) -> Result<(), String> {
        let sid = &conversation.sid;
        let mut told: Vec<_> =
            conversation.messages.iter().filter(|message| message.author == "system").collect();
        let all = told.len();
        told.dedup_by_key(|message| message.body.clone());
        if told.len() != all {
            return Err(format!("the customer of {sid} was told something twice"));
        }
        let of_this = |event: &&Value| task_attributes(event)["conversationSid"] == sid.as_str();
        let mut reinvites: Vec<&str> = events
            .iter()
            .filter(of_this)
            .filter(|event| event["event_type"] == "task.created")
            .filter(|event| {
                task_attributes(event)["flexglueReinvites"].as_u64().is_some_and(|number| number > 0)
            })
            .filter_map(|event| event["event_data"]["task_sid"].as_str())
            .filter(|task| !self.by_people.iter().any(|by_people| by_people == task))
            .collect();
        reinvites.sort_unstable();
        reinvites.dedup();
        if reinvites.len() > MAX_REINVITES {
            return Err(format!("agents were invited to {sid} again {} times", reinvites.len()));
        }
        if conversation.state == ConversationState::Closed {
            return Ok(());
        }
        let living = self.rig.live_interactions(sid);
        if living.len() > 1 {
            return Err(format!("{sid} has {} living Interactions", living.len()));
        }
        let task = self
            .live_tasks()
            .into_iter()
            .any(|task| task.attributes.get("conversationSid") == Some(&sid.as_str().into()));
        if task || self.has_agent(sid) {
            return Ok(());
        }
        let end = events.iter().filter(of_this).find(|event| {
            matches!(
                event["event_type"].as_str(),
                Some("task.completed" | "task.canceled" | "task.deleted" | "task.system-deleted")
            )
        });
        match end.and_then(|end| end["event_type"].as_str()) {
            Some("task.completed") => Ok(()),
            other => Err(format!(
                "{sid} is open, nobody is in it or on the way, and its last task ended by {other:?}"
            )),
        }
    }

    /// Everything that happened to tasks, newest first.
    async fn events(&self) -> Vec<Value> {
        let workspace = self.twilio().settings().workspace_sid;
        let mut path = format!("/v1/Workspaces/{workspace}/Events?Minutes=43000&PageSize=1000");
        let mut events = Vec::new();
        loop {
            let page = self.rig.rest(Method::GET, &path, "").await;
            events.extend(page["events"].as_array().cloned().unwrap_or_default());
            match page["meta"]["next_page_url"].as_str().and_then(|url| url.split_once("/v1/")) {
                Some((_, rest)) => path = format!("/v1/{rest}"),
                None => return events,
            }
        }
    }
}

/// What an action makes that makes no task.
fn nothing<T>(_: T) -> Option<String> {
    None
}

fn task_attributes(event: &Value) -> Value {
    let text = event["event_data"]["task_attributes"].as_str().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

async fn tell(seed: u64) -> Result<(), String> {
    let mut story = Story::begin(seed).await;
    story.live().await;
    story.come_to_rest().await;
    story.end().await.map_err(|wrong| format!("{}\nseed {seed}: {wrong}", story.told.join("\n")))
}

/// Tells stories from seeds, each on a paused clock of its own.
fn stories(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        if let Err(wrong) = runtime.block_on(tell(seed)) {
            panic!("{wrong}");
        }
    }
}

/// One story: `STORY_SEED=17 cargo test --workspace --test system one_story`.
#[test]
fn one_story() {
    let seed = std::env::var("STORY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_default();
    stories(seed..seed + 1);
}

#[test]
fn five_hundred_stories_from_0() {
    stories(0..500);
}

#[test]
fn five_hundred_stories_from_500() {
    stories(500..1000);
}

#[test]
fn five_hundred_stories_from_1000() {
    stories(1000..1500);
}

#[test]
fn five_hundred_stories_from_1500() {
    stories(1500..2000);
}
