//! What people do: customers, agents, visitors of a site, back ends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use fastrand::Rng;
use flexglue::local::system::{
    END_CHAT_PATH, INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, SMS_NUMBER, WHATSAPP_NUMBER,
};
use http::{Method, Request};
use serde_json::{Value, json};
use simulator::{Reason, Refusal, Task, TaskStatus, Twilio, Unreachable};
use tokio::time::sleep;

use super::{
    centre::Centre,
    plan::{Act, Conflict, Kind, What},
};
use crate::{
    chat,
    outbound::{Told, asked},
};

/// Part of every name and of every message.
pub(super) const PRIVATE: &str = "zqprivate";

/// Part of every customer's number.
pub(super) const PRIVATE_NUMBERS: &str = "5551230";

/// What people remember.
#[derive(Debug, Default)]
pub(super) struct People {
    /// Tasks that people asked for. They carry the attributes of the task they come from, ours included.
    pub(super) tasks_of_theirs: BTreeSet<String>,
    /// The chats that pages have.
    pub(super) chats: Vec<Chat>,
    /// The reaches that back ends asked for.
    pub(super) reaches: Vec<Reach>,
}

/// A chat, as its page has it.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) token: String,
    pub(super) conversation: String,
    pub(super) identity: String,
    /// Whether the page has asked for its end.
    pub(super) is_ended: bool,
}

/// A reach, as its back end knows it.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    pub(super) key: String,
    pub(super) body: Value,
    /// Every answer so far.
    pub(super) told: Vec<Told>,
}

/// How long callers wait.
const PATIENCE: Duration = Duration::from_secs(29);

fn customer(number: u8) -> String {
    format!("+1{PRIVATE_NUMBERS}00{number}")
}

/// One of what there is.
fn one_of<T: Clone>(all: &[T], dice: u64) -> Option<T> {
    let count = u64::try_from(all.len()).unwrap_or(1).max(1);
    all.get(usize::try_from(dice % count).unwrap_or_default()).cloned()
}

impl Centre {
    /// Somebody does something. Nobody waits for what comes of it.
    pub(super) fn act(self: &Arc<Self>, act: &Act) {
        let dice = &mut Rng::with_seed(act.dice);
        match act.what {
            What::CustomerWrites { customer: number, whatsapp } => self.customer_writes(number, whatsapp),
            What::ChatBegins => self.chat_begins(dice.u8(1..5)),
            What::ChatIsWrittenIn => self.chat_is_written_in(dice),
            What::ChatIsRefreshed => self.with_a_chat(dice, Centre::refresh),
            What::ChatEnds => self.with_a_chat(dice, Centre::end_chat),
            What::AgentAccepts => self.agent("accepts", dice, |twilio, task, worker| {
                twilio.agent_accepts(task, worker).map(nothing)
            }),
            What::AgentRejects => self.agent("rejects", dice, |twilio, task, worker| {
                twilio.agent_rejects(task, worker).map(nothing)
            }),
            What::AgentDoesNotAnswer => self.agent("does not answer", dice, |twilio, task, worker| {
                twilio.reservation_times_out(task, worker).map(nothing)
            }),
            What::AgentParks => {
                self.agent("parks", dice, |twilio, task, _| twilio.agent_parks(task).map(nothing));
            }
            What::AgentLeaves => {
                self.agent("leaves", dice, |twilio, task, _| twilio.agent_leaves(task).map(nothing));
            }
            What::AgentWrites => {
                self.agent("writes", dice, |twilio, task, _| twilio.agent_writes(task, PRIVATE).map(nothing));
            }
            What::AgentEnds => self.agent("ends the chat", dice, |twilio, task, _| {
                twilio.agent_ends_chat(task)?;
                twilio.task_completes(task).map(nothing)
            }),
            What::AgentInvites => {
                let direct = dice.bool();
                self.agent("invites another", dice, |twilio, task, worker| {
                    twilio.agent_invites(task, direct.then_some(worker)).map(Some)
                });
            }
            What::AgentTransfers => {
                let (direct, warm) = (dice.bool(), dice.bool());
                self.agent("transfers", dice, |twilio, task, worker| {
                    twilio.agent_transfers(task, direct.then_some(worker), warm).map(Some)
                });
            }
            What::TaskIsDeleted => {
                self.agent("has it deleted", dice, |twilio, task, _| {
                    twilio.task_is_deleted(task).map(nothing)
                });
            }
            What::TaskIsCanceled => self.task_is_canceled(dice),
            What::AttributesAreOverwritten => self.attributes_are_overwritten(dice),
            What::InteractionIsUnparked => self.interaction_is_unparked(dice),
            What::ConversationTimesOut => self.conversation_times_out(dice),
            What::NumberBreaks { customer: number } => {
                self.tell(|| format!("{} cannot be reached any more", customer(number)));
                self.rig.system.twilio.cannot_be_reached(&customer(number), 30003, Unreachable::Later);
            }
            What::BackEndReaches { customer, kind, conflict, at_once } => {
                self.back_end_reaches(customer, kind, conflict, at_once, dice);
            }
            What::BackEndAsksAgain => {
                let count = self.lock(&self.people).reaches.len();
                if let Some(reach) = one_of(&(0..count).collect::<Vec<_>>(), dice.u64(..)) {
                    self.spawn(Self::asks(Arc::clone(self), reach));
                }
            }
            What::SweepsOverlap => {
                for _ in 0..2 {
                    let centre = Arc::clone(self);
                    self.spawn(async move { drop(centre.sweep().await) });
                }
            }
        }
    }

    fn customer_writes(&self, number: u8, whatsapp: bool) {
        let (customer, ours) = if whatsapp {
            (format!("whatsapp:{}", customer(number)), WHATSAPP_NUMBER)
        } else {
            (customer(number), SMS_NUMBER)
        };
        let body = format!("hello {PRIVATE}");
        let written = self.rig.system.twilio.customer_writes(&customer, ours, &body);
        self.tell(|| format!("{customer} writes in {}", written.conversation_sid));
    }

    fn live_tasks(&self) -> Vec<Task> {
        let mut tasks = self.rig.system.twilio.tasks();
        tasks.retain(|task| !matches!(task.status, TaskStatus::Canceled | TaskStatus::Completed));
        tasks
    }

    /// An agent does something with a task; what comes of it may be another task.
    fn agent(
        &self,
        what: &str,
        dice: &mut Rng,
        act: impl Fn(&Twilio, &str, &str) -> Result<Option<String>, Refusal>,
    ) {
        let twilio = &self.rig.system.twilio;
        let task = one_of(&self.live_tasks(), dice.u64(..));
        let worker = one_of(&twilio.settings().workers, dice.u64(..));
        let (Some(task), Some(worker)) = (task, worker) else { return };
        if let Ok(made) = act(twilio, &task.sid, &worker.sid) {
            self.lock(&self.people).tasks_of_theirs.extend(made);
            self.tell(|| format!("{} of {}: {what}", worker.sid, task.sid));
        }
    }

    fn task_is_canceled(self: &Arc<Self>, dice: &mut Rng) {
        let mut tasks = self.live_tasks();
        tasks.retain(|task| matches!(task.status, TaskStatus::Pending | TaskStatus::Reserved));
        let Some(task) = one_of(&tasks, dice.u64(..)) else { return };
        self.tell(|| format!("{} is canceled", task.sid));
        self.change_task(&task, "AssignmentStatus=canceled");
    }

    /// Somebody else changes a task through the Task API.
    fn change_task(self: &Arc<Self>, task: &Task, form: &'static str) {
        let workspace = self.rig.system.twilio.settings().workspace_sid;
        let path = format!("/v1/Workspaces/{workspace}/Tasks/{}", task.sid);
        let centre = Arc::clone(self);
        self.spawn(async move {
            drop(centre.rig.ask(Method::POST, &path, form).await);
            centre.something_happened();
        });
    }

    fn attributes_are_overwritten(self: &Arc<Self>, dice: &mut Rng) {
        let mut tasks = self.live_tasks();
        tasks.retain(|task| task.status == TaskStatus::Assigned);
        let Some(task) = one_of(&tasks, dice.u64(..)) else { return };
        self.tell(|| format!("{} has its attributes overwritten", task.sid));
        self.change_task(&task, "Attributes=%7B%22disposition%22%3A%22none%22%7D");
    }

    fn interaction_is_unparked(&self, dice: &mut Rng) {
        let twilio = &self.rig.system.twilio;
        let Some(interaction) = one_of(&twilio.interactions(), dice.u64(..)) else { return };
        if let Ok(task) = twilio.plugin_unparks(&interaction.sid) {
            self.lock(&self.people).tasks_of_theirs.insert(task);
            self.tell(|| format!("{} is unparked", interaction.sid));
        }
    }

    fn conversation_times_out(&self, dice: &mut Rng) {
        let twilio = &self.rig.system.twilio;
        let mut open = twilio.conversations();
        open.retain(|conversation| conversation.state != simulator::ConversationState::Closed);
        let Some(conversation) = one_of(&open, dice.u64(..)) else { return };
        self.tell(|| format!("{} is closed by its timer", conversation.sid));
        let _ = twilio.close_conversation(&conversation.sid, Reason::Timer);
    }

    fn chat_begins(self: &Arc<Self>, source: u8) {
        let form = json!({"formData": {"friendlyName": format!("Ada {PRIVATE}"), "query": PRIVATE}});
        let request = chat::sent(INIT_WEBCHAT_PATH, &format!("203.0.113.{source}"), &form.to_string());
        let centre = Arc::clone(self);
        self.tell(|| "a visitor begins a chat".to_owned());
        self.spawn(async move {
            let told = centre.page_asks(request).await;
            centre.tell(|| format!("the visitor is told {:?}", told.as_ref().map(|told| told.status)));
            let Some(told) = told.filter(|told| told.status == 200) else { return };
            let chat = Chat {
                token: told.text("token"),
                conversation: told.text("conversationSid"),
                identity: told.text("identity"),
                is_ended: false,
            };
            centre.lock(&centre.people).chats.push(chat);
        });
    }

    async fn page_asks(self: &Arc<Self>, request: Request<Bytes>) -> Option<Told> {
        let was_calm = self.is_calm();
        let answer = self.request("webchat-token", request, PATIENCE).await?;
        let told = Told::of(&answer);
        if !matches!(told.status, 200 | 204 | 403 | 429 | 502 | 503) || (was_calm && told.status >= 500) {
            self.watch.is_wrong(|| format!("a page is told {told:?}"));
        }
        Some(told)
    }

    fn a_chat(&self, dice: &mut Rng) -> Option<Chat> {
        one_of(&self.lock(&self.people).chats, dice.u64(..))
    }

    fn chat_is_written_in(&self, dice: &mut Rng) {
        let Some(chat) = self.a_chat(dice) else { return };
        let twilio = &self.rig.system.twilio;
        if twilio.customer_writes_in(&chat.conversation, &chat.identity, PRIVATE).is_ok() {
            self.tell(|| format!("the visitor writes in {}", chat.conversation));
        }
    }

    fn with_a_chat<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        dice: &mut Rng,
        act: impl FnOnce(Arc<Self>, Chat) -> F,
    ) {
        if let Some(chat) = self.a_chat(dice) {
            self.spawn(act(Arc::clone(self), chat));
        }
    }

    async fn refresh(self: Arc<Self>, chat: Chat) {
        self.tell(|| format!("the page of {} refreshes its token", chat.conversation));
        let body = json!({"token": chat.token}).to_string();
        let told = self.page_asks(chat::sent(REFRESH_TOKEN_PATH, "203.0.113.9", &body)).await;
        if let Some(told) = told.filter(|told| told.status == 200) {
            let mut people = self.lock(&self.people);
            for known in people.chats.iter_mut().filter(|known| known.conversation == chat.conversation) {
                known.token = told.text("token");
            }
        }
    }

    async fn end_chat(self: Arc<Self>, chat: Chat) {
        self.tell(|| format!("the page of {} ends it", chat.conversation));
        for known in &mut self.lock(&self.people).chats {
            known.is_ended |= known.conversation == chat.conversation;
        }
        let body = json!({"token": chat.token}).to_string();
        self.page_asks(chat::sent(END_CHAT_PATH, "203.0.113.9", &body)).await;
    }

    fn back_end_reaches(
        self: &Arc<Self>,
        number: u8,
        kind: Kind,
        conflict: Conflict,
        at_once: bool,
        dice: &mut Rng,
    ) {
        let account = self.rig.system.twilio.settings();
        let whatsapp = dice.u8(0..4) == 0;
        let channel = if whatsapp { "whatsapp" } else { "sms" };
        let from = if whatsapp { WHATSAPP_NUMBER } else { SMS_NUMBER };
        let times = if at_once { 2 } else { 1 };
        // At once: the same one twice, or two for the same customer.
        let same = dice.bool();
        for time in 0..times {
            let mut people = self.lock(&self.people);
            if time == 0 || !same {
                let name = people.reaches.len();
                let mut body = json!({
                    "to": customer(number), "from": from.trim_start_matches("whatsapp:"),
                    "channel": channel, "initiated_by": kind.as_str(), "on_conflict": conflict.as_str(),
                    "customer_name": format!("Ada {PRIVATE}"), "attributes": {"case": 7},
                    "message": {"body": format!("reach {name} {PRIVATE}")},
                });
                if kind == Kind::Agent {
                    body["worker_sid"] =
                        account.workers[dice.usize(0..account.workers.len())].sid.clone().into();
                    body["queue_sid"] = account.queue_sid.clone().into();
                }
                let key = format!("key-{name}");
                people.reaches.push(Reach { key, body, told: Vec::new() });
            }
            let reach = people.reaches.len() - 1;
            drop(people);
            self.spawn(Self::asks(Arc::clone(self), reach));
        }
    }

    /// A back end asks until it is told something final, or has no more patience.
    async fn asks(self: Arc<Self>, number: usize) {
        for pause in [1, 3, 10, 40, 120] {
            if self.ask_for(number).await.is_some_and(|told| is_final(&told)) {
                return;
            }
            sleep(Duration::from_secs(pause)).await;
        }
    }

    /// Back ends ask for every reach of which they do not know how it ended. Whether there was none.
    pub(super) async fn ask_for_what_is_open(self: &Arc<Self>) -> bool {
        let open: Vec<_> = {
            let people = self.lock(&self.people);
            let is_open = |reach: &&Reach| !reach.told.last().is_some_and(is_final);
            people.reaches.iter().enumerate().filter(|(_, reach)| is_open(reach)).map(|(at, _)| at).collect()
        };
        for reach in &open {
            self.ask_for(*reach).await;
        }
        open.is_empty()
    }

    /// A back end asks once.
    pub(super) async fn ask_for(self: &Arc<Self>, number: usize) -> Option<Told> {
        let reach = self.lock(&self.people).reaches[number].clone();
        self.tell(|| format!("a back end asks for {}: {}", reach.key, reach.body));
        let was_calm = self.is_calm();
        let request = asked(&reach.key, &reach.body);
        let answer = self.request("outbound-participant", request, PATIENCE).await;
        let told = answer.as_ref().map(Told::of);
        self.tell(|| format!("{} is told {told:?}", reach.key));
        let told = told?;
        if !matches!(told.status, 200..=202 | 409 | 422 | 429 | 502..=504) || (was_calm && told.status == 503)
        {
            self.watch.is_wrong(|| format!("a back end is told {told:?}"));
        }
        self.lock(&self.people).reaches[number].told.push(told.clone());
        Some(told)
    }
}

/// Whether a reach has come to its end.
pub(super) fn is_final(told: &Told) -> bool {
    match told.status {
        200 | 201 | 422 | 502 | 504 => true,
        409 => told.body["error"] != "pair_busy" && told.body["error"] != "in_progress",
        _ => false,
    }
}

/// What an action makes that makes no task.
fn nothing<T>(_: T) -> Option<String> {
    None
}
