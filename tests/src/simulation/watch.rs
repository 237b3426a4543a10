//! Watches every step: what may never be, not even for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::Value;
use shared::{clock::Timestamp, transport::TransportError};
use simulator::{ChannelStatus, ConversationState, ParticipantKind, TaskStatus, Twilio};

use super::{
    centre::Centre,
    machine::{Asked, Side},
    weather::MOST_SKEW,
};
use crate::rig::Rig;

/// How much happened.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests to Twilio.
    pub of_twilio: u64,
    /// Requests to DynamoDB.
    pub of_table: u64,
    /// Conversations there were.
    pub conversations: u64,
    /// The most that an undisturbed invocation of each function asked of Twilio and of DynamoDB.
    pub most: BTreeMap<&'static str, (u32, u32)>,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.of_twilio += other.of_twilio;
        self.of_table += other.of_table;
        self.conversations += other.conversations;
        for (function, (of_twilio, of_table)) in &other.most {
            let most = self.most.entry(function).or_default();
            *most = (most.0.max(*of_twilio), most.1.max(*of_table));
        }
    }
}

/// Watches one run.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    wrong: Option<String>,
    counts: Counts,
    /// Which function runs on a machine, and what of each conversation it found out first.
    running: BTreeMap<u64, Running>,
    /// Every record, by its key.
    records: BTreeMap<String, Record>,
    /// Transactions that were carried out, by their tokens.
    transactions: BTreeSet<String>,
    /// Conversations that we made.
    ours: BTreeSet<String>,
}

/// A record, as it was last written.
#[derive(Debug)]
struct Record {
    version: u64,
    due: Option<u64>,
    stage: String,
    /// Who has a right to it, and on which machine.
    owner: Option<(Owner, u64)>,
    /// The addresses that a reach is about.
    pair: Option<(String, String)>,
}

impl Record {
    /// Whether a reach is under way.
    fn is_under_way(&self) -> bool {
        matches!(self.stage.as_str(), "making" | "undoing")
    }
}

/// Somebody with a right to go on.
#[derive(Debug)]
struct Owner {
    name: String,
    /// Milliseconds since the epoch.
    until: u64,
}

impl Owner {
    /// The owner that an item names: of a claim, or of what is being done.
    fn of(item: &Value) -> Option<Self> {
        let until = |value: &Value| value["N"].as_str()?.parse().ok();
        let name = |value: &Value| value["S"].as_str().map(str::to_owned);
        if let Some(until) = until(&item["lease_until"]) {
            return Some(Self { name: name(&item["owner"])?, until });
        }
        let at_work = &item["at_work"]["M"];
        Some(Self { name: name(&at_work["owner"])?, until: until(&at_work["until"])? })
    }
}

#[derive(Debug)]
struct Running {
    function: &'static str,
    /// Whether somebody was there when a conversation was first asked about.
    found: BTreeMap<String, Presence>,
}

/// Who is there for a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Presence {
    agent: bool,
    task: bool,
}

/// What there was before a request that may close a conversation.
#[derive(Debug)]
pub(super) struct Before {
    conversation: String,
    presence: Presence,
}

impl Before {
    /// Before a request is carried out.
    pub(super) fn of(rig: &Rig, side: Side, request: &Request<Bytes>) -> Option<Self> {
        if !matches!(side, Side::Twilio) || request.method() == Method::GET {
            return None;
        }
        let twilio = &rig.system.twilio;
        let conversation = conversation_of(twilio, request)?;
        let open = twilio
            .conversation(&conversation)
            .is_some_and(|conversation| conversation.state != ConversationState::Closed);
        open.then(|| Self { presence: presence(twilio, &conversation), conversation })
    }
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first thing that was wrong.
    pub(super) fn wrong(&self) -> Option<String> {
        self.seen().wrong.clone()
    }

    pub(super) fn is_wrong(&self, what: impl FnOnce() -> String) {
        self.seen().wrong.get_or_insert_with(what);
    }

    pub(super) fn counts(&self) -> Counts {
        self.seen().counts.clone()
    }

    /// Whether something is due.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// When the next record is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let seen = self.seen();
        seen.records.values().filter_map(|record| record.due).min().map(Timestamp::from_millis)
    }

    /// Whether a conversation is known, and more than heard of.
    pub(super) fn knows(&self, conversation: &str) -> bool {
        let key = format!("conversation#{conversation} record");
        self.seen().records.get(&key).is_some_and(|record| record.stage != "seen")
    }

    /// How many conversations there were in the end.
    pub(super) fn there_were(&self, conversations: usize) {
        self.seen().counts.conversations = conversations as u64;
    }

    /// Whether a customer is served, or somebody is on the way to them.
    #[expect(clippy::unused_self, reason = "it is a question to who watches")]
    pub(super) fn somebody_is_there(&self, centre: &Centre, conversation: &str) -> bool {
        let there = presence(&centre.rig.system.twilio, conversation);
        there.agent || there.task
    }

    /// An invocation begins on a machine.
    pub(super) fn begins(&self, machine: u64, function: &'static str) {
        self.seen().running.insert(machine, Running { function, found: BTreeMap::new() });
    }

    /// An invocation has ended.
    pub(super) fn has_asked(&self, function: &'static str, asked: Asked) {
        let mut seen = self.seen();
        if asked.disturbed {
            return;
        }
        let most = seen.counts.most.entry(function).or_default();
        most.0 = most.0.max(asked.of_twilio);
        most.1 = most.1.max(asked.of_table);
        let (of_twilio, of_table) = match function {
            "inbound-webhook" => (MOST.inbound.0, MOST.inbound.1),
            "taskrouter-events" => (MOST.events.0, MOST.events.1),
            "outbound-participant" => (MOST.outbound.0, MOST.outbound.1),
            "webchat-token" => (MOST.webchat.0, MOST.webchat.1),
            _ => return,
        };
        if asked.of_twilio > of_twilio || asked.of_table > of_table {
            seen.wrong.get_or_insert_with(|| format!("{function} asked for too much: {asked:?}"));
        }
    }

    /// After a request was carried out.
    pub(super) fn after(
        &self,
        centre: &Centre,
        side: Side,
        machine: u64,
        request: &Request<Bytes>,
        outcome: &Result<Response<Bytes>, TransportError>,
        before: Option<Before>,
    ) {
        let Ok(answer) = outcome else { return };
        match side {
            Side::Twilio => {
                self.seen().counts.of_twilio += 1;
                self.after_twilio(centre, machine, request, answer, before);
            }
            Side::Table => {
                self.seen().counts.of_table += 1;
                if answer.status().is_success() {
                    self.after_table(machine, centre, request);
                }
            }
        }
    }

    fn after_twilio(
        &self,
        centre: &Centre,
        machine: u64,
        request: &Request<Bytes>,
        answer: &Response<Bytes>,
        before: Option<Before>,
    ) {
        let twilio = &centre.rig.system.twilio;
        let path = request.uri().path();
        if request.method() == Method::GET {
            if let Some(conversation) = conversation_of(twilio, request) {
                let found = presence(twilio, &conversation);
                if let Some(running) = self.seen().running.get_mut(&machine) {
                    running.found.entry(conversation).or_insert(found);
                }
            }
            return;
        }
        if path.contains("/Workspaces/") {
            self.is_wrong(|| format!("{} {path}: tasks are not ours to change", request.method()));
        }
        if let Some(before) = before {
            // An agent who reaches out may be invited to whom another serves.
            let invites_again = String::from_utf8_lossy(request.body()).contains("flexglueReinvites");
            if path.ends_with("/Invites") && invites_again {
                self.check_inviting(machine, &before);
            }
            self.check_closing(centre, machine, &before);
        }
        if path.ends_with("/Interactions") {
            self.check_interactions(twilio);
        }
        if path.ends_with("/Conversations") && answer.status().is_success() {
            let made: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            self.seen().ours.extend(made["sid"].as_str().map(str::to_owned));
        }
        if path.ends_with("/Participants") || path.ends_with("/Conversations") {
            self.check_pairs(twilio);
        }
        if path.ends_with("/Messages")
            && let Some(conversation) = conversation_of(twilio, request)
        {
            self.check_told(twilio, &conversation);
        }
    }

    /// Agents were invited again: was one there, when it was asked?
    fn check_inviting(&self, machine: u64, before: &Before) {
        let mut seen = self.seen();
        let Some(running) = seen.running.get(&machine) else { return };
        let found = running.found.get(&before.conversation).copied().unwrap_or(before.presence);
        if before.presence.agent && found.agent {
            let wrong = format!("agents were invited to {} with an agent in it", before.conversation);
            seen.wrong.get_or_insert(wrong);
        }
    }

    /// A conversation may have been closed: was somebody in it, or on the way?
    fn check_closing(&self, centre: &Centre, machine: u64, before: &Before) {
        let Before { conversation, presence } = before;
        let open = centre
            .rig
            .system
            .twilio
            .conversation(conversation)
            .is_some_and(|conversation| conversation.state != ConversationState::Closed);
        if open {
            return;
        }
        let participants = centre.rig.system.twilio.participants(conversation);
        // A back end may have a conversation replaced in which a customer waits.
        let is_replaced = centre.lock(&centre.people).reaches.iter().any(|reach| {
            let whom = reach.body["to"].as_str().unwrap_or_default();
            let mut bindings = participants.iter().filter_map(|one| one.binding.as_ref());
            reach.body["on_conflict"] == "replace" && bindings.any(|binding| binding.address.ends_with(whom))
        });
        let ended_by_its_page = {
            let people = centre.lock(&centre.people);
            let page = people.chats.iter().find(|chat| chat.conversation == *conversation);
            let is_chat = centre
                .rig
                .system
                .twilio
                .participants(conversation)
                .iter()
                .any(|participant| participant.identity.is_some() && participant.binding.is_none());
            // A chat that its page was never told of is undone, whoever has come into it.
            page.map_or(is_chat, |page| page.is_ended)
        };
        let mut seen = self.seen();
        let Some(running) = seen.running.get(&machine) else { return };
        // Somebody who has come since it was asked could not be known of.
        let found = running.found.get(conversation).copied().unwrap_or(*presence);
        let function = running.function;
        let made_by_us = seen.ours.contains(conversation);
        if presence.agent && found.agent && !ended_by_its_page {
            seen.wrong.get_or_insert_with(|| format!("{function} closed {conversation} with an agent in it"));
        }
        let may_not = matches!(function, "sweep" | "taskrouter-events")
            && !made_by_us
            && !ended_by_its_page
            && !is_replaced;
        if presence.task && found.task && may_not {
            seen.wrong
                .get_or_insert_with(|| format!("{function} closed {conversation} with a task on the way"));
        }
    }

    pub(super) fn check_interactions(&self, twilio: &Twilio) {
        let mut living = BTreeMap::<_, Vec<_>>::new();
        // Where Twilio itself guards against a second one, that is accepted and never comes up.
        let guarded = twilio.settings().duplicate_guard;
        for interaction in twilio.interactions() {
            let status = interaction.channel.status;
            let may_fail_yet = guarded && status == ChannelStatus::Setup;
            if !matches!(status, ChannelStatus::Failed | ChannelStatus::Closed) && !may_fail_yet {
                living.entry(interaction.channel.conversation_sid).or_default().push(interaction.sid);
            }
        }
        for (conversation, living) in living {
            if living.len() > 1 {
                self.is_wrong(|| format!("{conversation} has two living Interactions: {living:?}"));
            }
        }
    }

    fn check_pairs(&self, twilio: &Twilio) {
        let mut holders = BTreeMap::new();
        for conversation in twilio.conversations() {
            if conversation.state == ConversationState::Closed {
                continue;
            }
            for binding in conversation.participants.iter().filter_map(|one| one.binding.as_ref()) {
                let pair = (binding.address.clone(), binding.proxy_address.clone());
                if let Some(other) = holders.insert(pair, conversation.sid.clone()) {
                    self.is_wrong(|| format!("{} and {other} have the same pair", conversation.sid));
                }
            }
        }
    }

    fn check_told(&self, twilio: &Twilio, conversation: &str) {
        let mut told = BTreeSet::new();
        for message in twilio.messages(conversation) {
            if message.author == "system" && !told.insert(message.body.clone()) {
                self.is_wrong(|| format!("{conversation} was told {:?} twice", message.body));
            }
        }
    }

    /// A write took place: nobody's change may have been overwritten unseen.
    fn after_table(&self, machine: u64, centre: &Centre, request: &Request<Bytes>) {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let writes = body["TransactItems"].as_array().into_iter().flatten();
        let puts = writes.map(|write| &write["Put"]["Item"]).chain(body.get("Item"));
        let mut seen = self.seen();
        // A transaction that is asked for again, its answer having been lost, is not carried out again.
        if let Some(token) = body["ClientRequestToken"].as_str()
            && !seen.transactions.insert(token.to_owned())
        {
            return;
        }
        for item in puts {
            let (Some(pk), Some(version)) = (item["pk"]["S"].as_str(), item["version"]["N"].as_str()) else {
                continue;
            };
            // History has the version in its key.
            if item["sk"]["S"].as_str().is_some_and(|sk| sk.starts_with("history")) {
                continue;
            }
            let version = version.parse().unwrap_or_default();
            let key = format!("{pk} {}", item["sk"]["S"].as_str().unwrap_or_default());
            let before = seen.records.remove(&key);
            let owner = Owner::of(item);
            // Whoever writes something else leaves the owner theirs.
            let as_before = before
                .as_ref()
                .and_then(|before| before.owner.as_ref())
                .filter(|(before, _)| owner.as_ref().is_some_and(|owner| owner.name == before.name));
            let of = as_before.map_or(machine, |(_, machine)| *machine);
            let record = Record {
                version,
                due: item["due_at"]["N"].as_str().and_then(|due| due.parse().ok()),
                stage: item["stage"]["S"].as_str().unwrap_or_default().to_owned(),
                owner: owner.map(|owner| (owner, of)),
                pair: pair(item),
            };
            let other = seen.records.iter().find(|(_, other)| {
                version == 1 && record.pair.is_some() && record.pair == other.pair && other.is_under_way()
            });
            if let Some((other, _)) = other {
                let wrong = format!("{key} and {other} are under way for the same pair");
                seen.wrong.get_or_insert(wrong);
            }
            let new_owner = record.owner.as_ref().map(|(owner, _)| owner.name.clone());
            let stage = record.stage.clone();
            seen.records.insert(key.clone(), record);
            let Some(before) = before else { continue };
            if version != before.version + 1 {
                let before = before.version;
                seen.wrong.get_or_insert_with(|| {
                    format!("version {version} of {key} was written over version {before}")
                });
            }
            // Clocks differ.
            let now = centre.rig.system.clock.now() + MOST_SKEW;
            if let Some((owner, of)) = before.owner
                && of != machine
                && now.as_millis() < owner.until
                && new_owner.as_ref() != Some(&owner.name)
                && (new_owner.is_some() || matches!(stage.as_str(), "waiting" | "refused" | "seen"))
            {
                seen.wrong.get_or_insert_with(|| format!("{key} was taken from its owner, and is {stage}"));
            }
        }
    }
}

/// The addresses that the record of a reach is about.
fn pair(item: &Value) -> Option<(String, String)> {
    let asked = &item["request"]["M"];
    Some((asked["to"]["S"].as_str()?.to_owned(), asked["from"]["S"].as_str()?.to_owned()))
}

/// The most that an undisturbed invocation asks of Twilio and of DynamoDB: stated in `docs/design.md`.
struct Most {
    inbound: (u32, u32),
    events: (u32, u32),
    outbound: (u32, u32),
    webchat: (u32, u32),
}

const MOST: Most = Most { inbound: (6, 10), events: (40, 12), outbound: (60, 40), webchat: (12, 16) };

/// The conversation that a request is about.
fn conversation_of(twilio: &Twilio, request: &Request<Bytes>) -> Option<String> {
    let path = request.uri().path_and_query()?.as_str();
    let found = |kind: &str| {
        path.match_indices(kind)
            .filter_map(|(at, _)| path.get(at..at + 34))
            .find(|sid| sid[2..].bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    if let Some(conversation) = found("CH") {
        return Some(conversation.to_owned());
    }
    if let Some(interaction) = found("KD") {
        return twilio.interaction(interaction).map(|interaction| interaction.channel.conversation_sid);
    }
    let task = twilio.task(found("WT")?)?;
    task.attributes.get("conversationSid")?.as_str().map(str::to_owned)
}

/// Who is there for the customer of a conversation.
fn presence(twilio: &Twilio, conversation: &str) -> Presence {
    let tasks = twilio.tasks();
    let lives = |status: TaskStatus| !matches!(status, TaskStatus::Canceled | TaskStatus::Completed);
    let interactions = twilio.interactions_on(conversation);
    // Attributes may have been overwritten.
    let is_invited = |task: &str| {
        let mut invites = interactions.iter().flat_map(|interaction| &interaction.channel.invites);
        invites.any(|invite| invite.task_sid == task)
    };
    let task = tasks.iter().any(|task| {
        let named = task.attributes.get("conversationSid").and_then(Value::as_str);
        lives(task.status) && (named == Some(conversation) || is_invited(&task.sid))
    });
    let agent = interactions.iter().any(|interaction| {
        interaction.channel.status == ChannelStatus::Active
            && interaction.channel.participants.iter().any(|participant| {
                participant.kind == ParticipantKind::Agent
                    && tasks
                        .iter()
                        .any(|task| Some(&task.sid) == participant.task_sid.as_ref() && lives(task.status))
            })
    });
    Presence { agent, task }
}
