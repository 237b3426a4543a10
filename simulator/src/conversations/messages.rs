//! Messages: numbered from 0 within their conversation.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::events::{self, Event, Source};
use crate::conversations::receipts::{self, Receipt};
use crate::conversations::{find, find_open, state};
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::{NONE, Published};
use crate::world::World;

/// How many characters a body may have.
const BODY_AT_MOST: usize = 1600;
/// How long attributes may be.
const ATTRIBUTES_AT_MOST: usize = 4 * 1024;

/// Something that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `IM…`
    pub sid: String,
    /// Its number within the conversation, from 0.
    pub index: u64,
    /// The identity or address of who wrote it, or `system`.
    pub author: String,
    /// What they wrote.
    pub body: Option<String>,
    /// `HX…`, the template that was sent.
    pub content_sid: Option<String>,
    /// JSON, what the template was filled with.
    pub content_variables: Option<String>,
    /// `ME…`, what is attached.
    pub media_sid: Option<String>,
    /// JSON, as it was given.
    pub attributes: String,
    /// `MB…`, if the author takes part.
    pub participant_sid: Option<String>,
    /// When, in milliseconds since the epoch.
    pub created_ms: u64,
    /// What becomes of it on its way to those outside, one for each.
    pub receipts: Vec<Receipt>,
}

const CREATE: Published = Published {
    required: &[],
    optional: &[
        "Author",
        "Body",
        "DateCreated",
        "DateUpdated",
        "Attributes",
        "MediaSid",
        "ContentSid",
        "ContentVariables",
        "Subject",
    ],
    repeated: &[],
};

const LIST: Published =
    Published { required: &[], optional: &["Order", "PageSize", "Page", "PageToken"], repeated: &[] };

impl Message {
    fn media(&self) -> Option<Value> {
        let sid = self.media_sid.as_ref()?;
        Some(json!([{ "sid": sid, "size": 1, "content_type": "image/jpeg", "filename": "image.jpg" }]))
    }

    fn json(&self, world: &World, conversation_sid: &str, url: &str) -> Value {
        json!({
            "account_sid": world.settings.account_sid,
            "conversation_sid": conversation_sid,
            "sid": self.sid,
            "index": self.index,
            "author": self.author,
            "body": self.body,
            "media": self.media(),
            "attributes": self.attributes,
            "participant_sid": self.participant_sid,
            "date_created": dates::seconds(self.created_ms),
            "date_updated": dates::seconds(self.created_ms),
            "delivery": receipts::summary(&self.receipts, world.now),
            "content_sid": self.content_sid,
            "url": url,
            "links": { "delivery_receipts": format!("{url}/Receipts") },
        })
    }
}

/// A message to be written, by whomever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) author: String,
    pub(crate) body: Option<String>,
    pub(crate) content_sid: Option<String>,
    pub(crate) content_variables: Option<String>,
    pub(crate) media_sid: Option<String>,
    pub(crate) attributes: Option<String>,
}

/// Adds a message to an open conversation. It wakes an inactive one up.
pub(crate) fn add(world: &mut World, sid: &str, draft: Draft) -> Option<Message> {
    let message_sid = world.sids.draw("IM");
    let receipts = receipts::begin(world, sid, &draft.author);
    let created_ms = world.now;
    let conversation = world.conversations.get_mut(sid)?;
    let author = draft.author;
    let participant_sid = conversation
        .participants
        .iter()
        .find(|participant| participant.writes_as(&author))
        .map(|participant| participant.sid.clone());
    let message = Message {
        sid: message_sid,
        // Messages cannot be deleted here, so their count is the next number.
        index: conversation.messages.len() as u64,
        author,
        body: draft.body,
        content_sid: draft.content_sid,
        content_variables: draft.content_variables,
        media_sid: draft.media_sid,
        attributes: draft.attributes.unwrap_or_else(|| "{}".to_owned()),
        participant_sid,
        created_ms,
        receipts,
    };
    conversation.messages.push(message.clone());
    state::touch(world, sid);
    Some(message)
}

/// Tells the webhooks of a new message.
pub(crate) fn announce(world: &mut World, sid: &str, message: &Message, source: Source) {
    let Some(conversation) = world.conversations.get(sid) else { return };
    let mut fields = vec![
        ("MessageSid", message.sid.clone()),
        ("MessagingServiceSid", conversation.messaging_service_sid.clone()),
        ("Index", message.index.to_string()),
        ("DateCreated", dates::milliseconds(message.created_ms)),
        ("Body", message.body.clone().unwrap_or_default()),
        ("Author", message.author.clone()),
        ("Attributes", message.attributes.clone()),
    ];
    fields.extend(message.participant_sid.clone().map(|sid| ("ParticipantSid", sid)));
    fields.extend(message.media().map(|media| ("Media", media.to_string())));
    publish(world, sid, source, fields);
}

fn publish(world: &mut World, sid: &str, source: Source, fields: Vec<(&'static str, String)>) {
    events::publish(world, Event { kind: "onMessageAdded", conversation: sid, source, fields });
}

/// The message that a request gives.
fn read(call: &Call) -> Result<Draft, Refusal> {
    let parameters = CREATE.read(&call.form)?;
    let draft = Draft {
        author: parameters.owned("Author").unwrap_or_else(|| "system".to_owned()),
        body: parameters.owned("Body"),
        content_sid: parameters.sid("ContentSid", "HX")?,
        content_variables: parameters.json("ContentVariables", ATTRIBUTES_AT_MOST)?,
        media_sid: parameters.sid("MediaSid", "ME")?,
        attributes: parameters.json("Attributes", ATTRIBUTES_AT_MOST)?,
    };
    if draft.body.as_ref().is_some_and(|body| body.chars().count() > BODY_AT_MOST) {
        return Err(Refusal::invalid(format!("Body is longer than {BODY_AT_MOST} characters")));
    }
    if draft.body.is_none() && draft.content_sid.is_none() && draft.media_sid.is_none() {
        return Err(Refusal::invalid("One of Body, MediaSid and ContentSid must be given"));
    }
    Ok(draft)
}

pub(super) fn create(world: &mut World, call: &Call, key: &str) -> Reply {
    let draft = read(call)?;
    let sid = find_open(world, call, key)?.sid.clone();
    receipts::refuse_unreachable(world, &sid, &draft.author)?;
    post(world, call, &sid, draft, call.fires_webhooks.then_some(Source::Api))
}

/// The same by a chat user, who writes as nobody else, and of whose messages the webhooks are always told.
pub(super) fn create_as(world: &mut World, call: &Call, key: &str, identity: &str) -> Reply {
    let draft = Draft { author: identity.to_owned(), ..read(call)? };
    let sid = find_open(world, call, key)?.sid.clone();
    post(world, call, &sid, draft, Some(Source::Sdk(identity.to_owned())))
}

/// Adds a message and tells the webhooks of it, if there is a source to name.
fn post(world: &mut World, call: &Call, sid: &str, draft: Draft, told: Option<Source>) -> Reply {
    let message = add(world, sid, draft).ok_or_else(|| call.not_found())?;
    if let Some(source) = told {
        announce(world, sid, &message, source);
    }
    let url = format!("{}/{}", call.url(), message.sid);
    Ok(Answer::created(message.json(world, sid, &url)))
}

pub(super) fn list(world: &World, call: &Call, key: &str) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let newest_first = parameters.one_of("Order", &["asc", "desc"])? == Some("desc");
    let conversation = find(world, call, key)?;
    let row = |message: &Message| {
        let url = format!("{}/{}", call.url(), message.sid);
        let body = message.json(world, &conversation.sid, &url);
        if newest_first { Row::newest_first(message.index, body) } else { Row::at(message.index, body) }
    };
    page(call, "messages", 50, 100, conversation.messages.iter().map(row).collect())
}

pub(super) fn fetch(world: &World, call: &Call, key: &str, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let message = conversation.message(sid).ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(message.json(world, &conversation.sid, &call.url())))
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, OURS, Sim, code, text};

    #[test]
    fn messages_are_numbered_from_0() {
        let sim = Sim::new();
        let first = sim.twilio.customer_writes(CUSTOMER, OURS, "one");
        assert_eq!(first.index, 0);
        let path = format!("/v1/Conversations/{}/Messages", first.conversation_sid);
        let (status, second) = sim.post(&path, &[("Body", "two")]);
        assert_eq!((status, &second["index"], &second["author"]), (201, &1.into(), &"system".into()));
        let (_, list) = sim.get(&format!("{path}?Order=desc&PageSize=1"));
        assert_eq!(list["messages"][0]["body"], "two");
        let participant = sim.twilio.participants(&first.conversation_sid)[0].sid.clone();
        assert_eq!(
            text(&sim.get(&format!("{path}/{}", first.message_sid)).1["participant_sid"]),
            participant
        );
    }

    #[test]
    fn a_message_keeps_the_attributes_it_was_given() {
        let sim = Sim::new();
        let path = format!("/v1/Conversations/{}/Messages", sim.conversation());
        let form = [("Body", "hello"), ("Attributes", r#"{"sent": "once"}"#)];
        assert_eq!(sim.post(&path, &form).1["attributes"], r#"{"sent": "once"}"#);
        assert_eq!(sim.get(&path).1["messages"][0]["attributes"], r#"{"sent": "once"}"#);
        assert_eq!(code(&sim.post(&path, &[("Body", "hello"), ("Attributes", "{")])), 20001);
    }

    #[test]
    fn a_message_has_a_body_or_a_template_or_media() {
        let sim = Sim::new();
        let path = format!("/v1/Conversations/{}/Messages", sim.conversation());
        let template = format!("HX{:032x}", 1);
        assert_eq!(code(&sim.post(&path, &[])), 20001);
        assert_eq!(code(&sim.post(&path, &[("Body", &"x".repeat(1601))])), 20001);
        assert_eq!(code(&sim.post(&path, &[("ContentSid", "HX1")])), 20001);
        assert_eq!(
            sim.post(&path, &[("ContentSid", &template), ("ContentVariables", "{\"1\":\"a\"}")]).0,
            201
        );
    }
}
