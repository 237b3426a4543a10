//! How records and history entries stand in the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_dynamo::aws_sdk_dynamodb_1 as dynamo;

use super::LedgerError;
use crate::{
    clock::Timestamp,
    conversation::{Conversation, Happening, pace},
    reach::{Reach, ReachId},
    sid::{ConversationSid, TaskSid},
    web_chat::{Guest, WebChat},
};

/// The sparse index of what is due: only records that are due some time stand in it.
pub const DUE_INDEX: &str = "due";

/// The parts of that index. One partition takes 1,000 writes a second
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>). What is due
/// stands in it and leaves it some seven times until it is done, so that four take 30,000 a minute. Each costs every
/// sweep a request, whether anything is due or not.
pub const DUE_SHARDS: u8 = 4;

pub(super) const RECORD: &str = "record";
pub(super) const HISTORY: &str = "history#";
const CONVERSATION: &str = "conversation#";
const REACH: &str = "reach#";
const WEB_CHAT: &str = "webchat#";

/// A task of Flex and the conversation that it belongs to.
#[derive(Serialize, Deserialize)]
pub(super) struct PointerItem {
    pk: String,
    sk: String,
    forget_at: u64,
    pub(super) conversation: ConversationSid,
}

/// How far a walk through a list of Twilio's has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// Counts the writes; each goes only onto the version that its writer saw.
    pub version: u64,
    /// When it began.
    pub began_at: Timestamp,
    /// The page to go on with; `None` where it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Until when somebody is on it.
    pub held_until: Timestamp,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WalkItem {
    pk: String,
    sk: String,
    #[serde(flatten)]
    pub(super) walk: Walk,
}

pub(super) type Item = HashMap<String, AttributeValue>;

/// A record that may be due and may be forgotten.
#[derive(Serialize, Deserialize)]
struct RecordItem<T> {
    pk: String,
    sk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_shard: Option<String>,
    /// Milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    /// Seconds: DynamoDB deletes the item some time after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forget_at: Option<u64>,
    #[serde(flatten)]
    record: T,
}

impl<T: Clone + Serialize> RecordItem<T> {
    /// The item of a record; what `name` names decides the part of the index in which it stands.
    fn of(
        pk: String,
        name: &str,
        record: &T,
        due_at: Option<Timestamp>,
        forget_at: Option<Timestamp>,
    ) -> Result<Item, LedgerError> {
        dynamo::to_item(Self {
            pk,
            sk: RECORD.to_owned(),
            due_shard: due_at.map(|_| shard_key(shard_of(name))),
            due_at,
            forget_at: forget_at.map(Timestamp::as_seconds),
            record: record.clone(),
        })
        .map_err(|_| LedgerError::Unreadable)
    }
}

impl<T: DeserializeOwned> RecordItem<T> {
    /// The record of an item, and when it is due and may be forgotten.
    fn read(item: Item) -> Result<(T, Option<Timestamp>, Option<Timestamp>), LedgerError> {
        let item: Self = dynamo::from_item(item).map_err(|_| LedgerError::Unreadable)?;
        Ok((item.record, item.due_at, item.forget_at.map(Timestamp::from_seconds)))
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct HistoryItem {
    pk: String,
    sk: String,
    forget_at: u64,
    #[serde(flatten)]
    pub(super) happening: Happening,
}

pub(super) fn conversation_key(sid: &ConversationSid) -> String {
    format!("{CONVERSATION}{sid}")
}

/// The key of an item by which the conversation of a task is found.
pub(super) fn pointer_key(task: &TaskSid) -> (String, String) {
    (format!("task#{task}"), "conversation".to_owned())
}

/// The key of the item that keeps how far a walk has come.
pub(super) fn walk_key(name: &str) -> (String, String) {
    ("walk".to_owned(), name.to_owned())
}

pub(super) fn from_pointer(
    task: &TaskSid,
    conversation: &ConversationSid,
    now: Timestamp,
) -> Result<Item, LedgerError> {
    let (pk, sk) = pointer_key(task);
    let forget_at = (now + pace::REMEMBER_CLOSED).as_seconds();
    dynamo::to_item(PointerItem { pk, sk, forget_at, conversation: conversation.clone() })
        .map_err(|_| LedgerError::Unreadable)
}

pub(super) fn from_walk(name: &str, walk: &Walk) -> Result<Item, LedgerError> {
    let (pk, sk) = walk_key(name);
    dynamo::to_item(WalkItem { pk, sk, walk: walk.clone() }).map_err(|_| LedgerError::Unreadable)
}

pub(super) fn shard_key(shard: u8) -> String {
    format!("due#{shard:02}")
}

/// The shard of what a SID or an id names: by its last digits, which are as good as drawn at random.
fn shard_of(name: &str) -> u8 {
    let last = name.len().saturating_sub(8);
    let digits = name.get(last..).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    u8::try_from(digits.unwrap_or_default() % u32::from(DUE_SHARDS)).unwrap_or_default()
}

pub(super) fn from_conversation(conversation: &Conversation) -> Result<Item, LedgerError> {
    let Conversation { sid, due_at, forget_at, .. } = conversation;
    RecordItem::of(conversation_key(sid), sid.as_str(), conversation, *due_at, *forget_at)
}

pub(super) fn from_happening(
    conversation: &Conversation,
    happening: &Happening,
) -> Result<Item, LedgerError> {
    dynamo::to_item(HistoryItem {
        pk: conversation_key(&conversation.sid),
        // Times of thirteen digits sort as text until the year 2286; the version keeps apart what happened
        // within one millisecond.
        sk: format!("{HISTORY}{:013}#{:06}", happening.at.as_millis(), conversation.version),
        forget_at: (happening.at + pace::REMEMBER_HISTORY).as_seconds(),
        happening: happening.clone(),
    })
    .map_err(|_| LedgerError::Unreadable)
}

pub(super) fn to_conversation(item: Item) -> Result<Conversation, LedgerError> {
    let (conversation, due_at, forget_at) = RecordItem::<Conversation>::read(item)?;
    Ok(Conversation { due_at, forget_at, ..conversation })
}

/// Something that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The record of a conversation.
    Conversation(ConversationSid),
    /// The record of an outbound reach.
    Reach(ReachId),
    /// The record of a web chat.
    WebChat(Guest),
}

impl Due {
    /// What an entry of the index belongs to.
    pub(super) fn of(item: &Item) -> Result<Self, LedgerError> {
        let key = item.get("pk").and_then(|key| key.as_s().ok()).ok_or(LedgerError::Unreadable)?;
        let conversation = || key.strip_prefix(CONVERSATION)?.parse().ok().map(Self::Conversation);
        let reach = || key.strip_prefix(REACH)?.parse().ok().map(Self::Reach);
        let web_chat = || key.strip_prefix(WEB_CHAT)?.parse().ok().map(Self::WebChat);
        conversation().or_else(reach).or_else(web_chat).ok_or(LedgerError::Unreadable)
    }
}

pub(super) fn reach_key(id: &ReachId) -> (String, String) {
    (format!("{REACH}{id}"), RECORD.to_owned())
}

/// The key of the item that says which reach holds a pair of addresses.
pub(super) fn pair_key(pair: &str) -> (String, String) {
    (format!("pair#{pair}"), "lock".to_owned())
}

pub(super) fn from_reach(reach: &Reach) -> Result<Item, LedgerError> {
    let (pk, _) = reach_key(&reach.id);
    RecordItem::of(pk, reach.id.as_str(), reach, reach.due_at, reach.forget_at)
}

pub(super) fn to_reach(item: Item) -> Result<Reach, LedgerError> {
    let (reach, due_at, forget_at) = RecordItem::<Reach>::read(item)?;
    Ok(Reach { due_at, forget_at, ..reach })
}

pub(super) fn web_chat_key(guest: &Guest) -> (String, String) {
    (format!("{WEB_CHAT}{guest}"), RECORD.to_owned())
}

pub(super) fn from_web_chat(chat: &WebChat) -> Result<Item, LedgerError> {
    let (pk, _) = web_chat_key(&chat.guest);
    RecordItem::of(pk, chat.guest.as_str(), chat, chat.due_at, chat.forget_at)
}

pub(super) fn to_web_chat(item: Item) -> Result<WebChat, LedgerError> {
    let (chat, due_at, forget_at) = RecordItem::<WebChat>::read(item)?;
    Ok(WebChat { due_at, forget_at, ..chat })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        conversation::{
            Agent, AtWork, Cause, ChannelType, Contact, FirstMessage, Interaction, MessageName, Outbound,
            Routing, Stage, Step, TaskEnd, Terminal,
        },
        personal::Personal,
        reach::InitiatedBy,
    };

    #[test]
    fn a_record_comes_back_as_it_was_written() {
        let attributes = json!({"huge": 12_345_678_901_234_567_890_u64, "third": 0.333_333_333_333_333_3, "": [null, {"é": ""}]});
        let attributes = Personal(attributes.as_object().unwrap().clone());
        let stages = [
            Stage::Seen,
            Stage::Claimed { owner: "o".to_owned(), lease_until: Timestamp::from_millis(20) },
            Stage::Waiting,
            Stage::SettingUp,
            Stage::Open,
            Stage::Refused { status: 400, code: Some(45367) },
            Stage::Orphaned {
                cause: Cause::TaskEnded,
                steps: vec![Step::Tell(MessageName::StillWaiting), Step::Reinvite, Step::Close],
                done: 1,
                at_work: Some(AtWork { owner: "o".to_owned(), until: Timestamp::from_millis(20) }),
            },
            Stage::Closing,
            Stage::Closed,
        ];
        for stage in stages {
            let record = Conversation {
                sid: "CH0000000000000000000000000000000f".parse().unwrap(),
                version: 3,
                stage,
                contact: Some(Contact { address: Some("+1".to_owned().into()), ..Contact::default() }),
                message: Some(FirstMessage { attributes: attributes.clone(), ..FirstMessage::default() }),
                routing: Some(Routing {
                    channel_type: ChannelType::Sms,
                    workflow: "WW00000000000000000000000000000001".parse().unwrap(),
                    task_channel: "chat".to_owned(),
                    priority: Some(1),
                    timeout: None,
                    agent: Some(Agent {
                        worker: "WK00000000000000000000000000000001".parse().unwrap(),
                        queue: "WQ00000000000000000000000000000001".parse().unwrap(),
                    }),
                    attributes: attributes.clone(),
                }),
                outbound: Some(Outbound {
                    reach: "00000000000000000000000000000001".parse().unwrap(),
                    initiated_by: InitiatedBy::Agent,
                    customer_name: Some("Ada".to_owned().into()),
                    attributes: attributes.clone(),
                }),
                before_reach: Some(Box::default()),
                interaction: Some(Interaction {
                    sid: "KD00000000000000000000000000000001".parse().unwrap(),
                    channel: None,
                    task: None,
                    since: Timestamp::from_millis(9),
                }),
                asked_since: Some(Timestamp::from_millis(7)),
                asked_until: Some(Timestamp::from_millis(9)),
                asking_until: Some(Timestamp::from_millis(8)),
                attempts: 1,
                set_up_failures: 1,
                failed: Some("KD00000000000000000000000000000002".parse().unwrap()),
                served: true,
                last_end: Some(TaskEnd {
                    task: Some("WT00000000000000000000000000000001".parse().unwrap()),
                    event: Some(Terminal::WorkflowTimeout),
                    at: Timestamp::from_millis(8),
                    handled: true,
                }),
                reinvites: 1,
                reinvited_at: Some(Timestamp::from_millis(10)),
                heard_of_reinvite: 2,
                told: vec![MessageName::StillWaiting],
                looked_at: Some(Timestamp::from_millis(11)),
                refused_since: None,
                created_at: Timestamp::from_millis(1),
                updated_at: Timestamp::from_millis(2),
                due_at: Some(Timestamp::from_millis(1_700_000_000_001)),
                forget_at: Some(Timestamp::from_seconds(1_700_000_000)),
            };
            let item = from_conversation(&record).unwrap();
            assert_eq!(item["due_shard"], AttributeValue::S("due#03".to_owned()));
            assert_eq!(item["due_at"], AttributeValue::N("1700000000001".to_owned()));
            // Trap 16: TTL is in seconds.
            assert_eq!(item["forget_at"], AttributeValue::N("1700000000".to_owned()));
            assert_eq!(to_conversation(item).unwrap(), record);
        }
    }

    #[test]
    fn what_is_not_due_does_not_stand_in_the_index() {
        let sid: ConversationSid = "CH0000000000000000000000000000000f".parse().unwrap();
        let closed = Conversation::closed(None, &sid, Timestamp::from_millis(5)).unwrap().next;
        let item = from_conversation(&closed).unwrap();
        assert!(!item.contains_key("due_shard") && !item.contains_key("due_at"));
    }

    /// What is due in one minute is read from all parts of the index side by side, and none is read much longer than others.
    #[test]
    fn ten_thousand_due_are_spread_evenly() {
        let mut shards = [0; DUE_SHARDS as usize];
        let random: Box<dyn crate::random::Random> = Box::new(crate::random::SeededRandom::new(1));
        for _ in 0..10_000 {
            shards[usize::from(shard_of(&format!("CH{}", random.token())))] += 1;
        }
        assert!(shards.iter().all(|due| (2_400..2_600).contains(due)), "{shards:?}");
    }
}
