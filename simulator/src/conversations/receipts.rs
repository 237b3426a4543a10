//! Delivery receipts: whether a message has arrived at those who are reached over a channel. Chat users have
//! none. See <https://www.twilio.com/docs/conversations/api/receipt-resource>.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::find;
use crate::conversations::participants::{Binding, Participant};
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::{NONE, PAGING};
use crate::world::World;

/// How many rows a page has, and may have: as many as can be reached over channels in one conversation.
const PAGE: usize = 50;

/// When it shows that an address cannot be reached. No source confirms which of the two Twilio does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// A message that is posted to the conversation is refused with 400, and nothing is added. One that an
    /// agent writes through the SDK fails later, as there is no answer that could refuse it.
    AtOnce,
    /// The message is accepted, and its delivery fails after [`Settings::delivery_ms`](crate::Settings).
    Later,
}

/// What becomes of a message on its way to one participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// `DY…`
    pub sid: String,
    /// `SM…`, or `WA…` over WhatsApp: the message as the channel knows it.
    pub channel_message_sid: String,
    /// `MB…` of whom it goes to.
    pub participant_sid: String,
    /// Why it does not arrive; none if it does.
    pub error_code: Option<u32>,
    /// When it was sent, in milliseconds since the epoch.
    pub sent_ms: u64,
    /// When it arrives, or fails to, in milliseconds since the epoch.
    pub settled_ms: u64,
}

/// How far a message came. Nobody tells here that it was read, and none fails before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// The carrier has it.
    Sent,
    /// It has arrived.
    Delivered,
    /// It will not arrive.
    Undelivered,
}

impl DeliveryStatus {
    /// The name the API gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
        }
    }
}

impl Receipt {
    /// How far the message is at this time.
    #[must_use]
    pub fn status(&self, now_ms: u64) -> DeliveryStatus {
        match self.error_code {
            _ if now_ms < self.settled_ms => DeliveryStatus::Sent,
            None => DeliveryStatus::Delivered,
            Some(_) => DeliveryStatus::Undelivered,
        }
    }

    fn json(&self, world: &World, conversation_sid: &str, message_sid: &str, url: &str) -> Value {
        let status = self.status(world.now);
        let failed = status == DeliveryStatus::Undelivered;
        let updated_ms = if status == DeliveryStatus::Sent { self.sent_ms } else { self.settled_ms };
        json!({
            "account_sid": world.settings.account_sid,
            "conversation_sid": conversation_sid,
            "sid": self.sid,
            "message_sid": message_sid,
            "channel_message_sid": self.channel_message_sid,
            "participant_sid": self.participant_sid,
            "status": status.as_str(),
            "error_code": self.error_code.filter(|_| failed).unwrap_or(0),
            "date_created": dates::seconds(self.sent_ms),
            "date_updated": dates::seconds(updated_ms),
            "url": url,
        })
    }
}

/// The field `delivery` of a message. What has arrived, or failed to, has been sent before, so it counts
/// there as well.
pub(super) fn summary(receipts: &[Receipt], now_ms: u64) -> Value {
    let total = receipts.len();
    let share = |status: DeliveryStatus| match receipts
        .iter()
        .filter(|receipt| receipt.status(now_ms) == status)
        .count()
    {
        0 => "none",
        count if count == total => "all",
        _ => "some",
    };
    if total == 0 {
        return Value::Null;
    }
    json!({
        "total": total,
        "sent": "all",
        "delivered": share(DeliveryStatus::Delivered),
        "read": "none",
        "failed": "none",
        "undelivered": share(DeliveryStatus::Undelivered),
    })
}

/// To whom a message of this author is sent over a channel: not to the author.
fn recipients<'w>(
    world: &'w World,
    conversation_sid: &str,
    author: &str,
) -> impl Iterator<Item = (&'w Participant, &'w Binding)> {
    let participants = world.conversations.get(conversation_sid).map(|found| found.participants.as_slice());
    participants
        .unwrap_or_default()
        .iter()
        .filter(move |participant| !participant.writes_as(author))
        .filter_map(|participant| Some((participant, participant.binding.as_ref()?)))
}

/// The receipts of a message that is sent now. Who is in the conversation now gets it, and whether it arrives
/// is decided now.
pub(super) fn begin(world: &mut World, conversation_sid: &str, author: &str) -> Vec<Receipt> {
    let found: Vec<_> = recipients(world, conversation_sid, author)
        .map(|(participant, binding)| {
            let prefix = if binding.kind == "whatsapp" { "WA" } else { "SM" };
            let error_code = world.unreachable.get(&binding.address).map(|(code, _)| *code);
            (participant.sid.clone(), prefix, error_code)
        })
        .collect();
    found
        .into_iter()
        .map(|(participant_sid, prefix, error_code)| Receipt {
            sid: world.sids.draw("DY"),
            channel_message_sid: world.sids.draw(prefix),
            participant_sid,
            error_code,
            sent_ms: world.now,
            settled_ms: world.now.saturating_add(world.settings.delivery_ms),
        })
        .collect()
}

/// Refuses a message to somebody of whom it shows at once that nothing reaches them.
pub(super) fn refuse_unreachable(world: &World, conversation_sid: &str, author: &str) -> Result<(), Refusal> {
    let refused = recipients(world, conversation_sid, author).find_map(|(_, binding)| {
        match world.unreachable.get(&binding.address) {
            Some((code, Unreachable::AtOnce)) => Some((*code, &binding.address)),
            _ => None,
        }
    });
    match refused {
        Some((code, address)) => {
            Err(Refusal::new(400, code, format!("A message to {address} cannot be sent")))
        }
        None => Ok(()),
    }
}

pub(super) fn list(world: &World, call: &Call, key: &str, message_sid: &str) -> Reply {
    PAGING.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let message = conversation.message(message_sid).ok_or_else(|| call.not_found())?;
    let rows = message.receipts.iter().map(|receipt| {
        let url = format!("{}/{}", call.url(), receipt.sid);
        receipt.json(world, &conversation.sid, message_sid, &url)
    });
    page(call, "delivery_receipts", PAGE, PAGE, Row::numbered(rows))
}

pub(super) fn fetch(world: &World, call: &Call, key: &str, message_sid: &str, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let conversation = find(world, call, key)?;
    let receipt = conversation
        .message(message_sid)
        .and_then(|message| message.receipts.iter().find(|receipt| receipt.sid == sid))
        .ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(receipt.json(world, &conversation.sid, message_sid, &call.url())))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Unreachable;
    use crate::sids::is_sid;
    use crate::testing::{CUSTOMER, OURS, Sim, code, text};

    const OTHER: &str = "whatsapp:+15551230002";

    /// A conversation with two customers and a chat user, and the path of its messages.
    fn group(sim: &Sim) -> String {
        let sid = sim.conversation();
        assert_eq!(sim.bind(&sid, CUSTOMER, OURS), 0);
        assert_eq!(sim.bind(&sid, OTHER, "whatsapp:+15557770000"), 0);
        sim.post(&format!("/v1/Conversations/{sid}/Participants"), &[("Identity", "guest-1")]);
        format!("/v1/Conversations/{sid}/Messages")
    }

    /// Posts a message and gives its path.
    fn send(sim: &Sim, messages: &str, author: &str) -> String {
        let (status, body) = sim.post(messages, &[("Body", "hello"), ("Author", author)]);
        assert_eq!(status, 201);
        format!("{messages}/{}", text(&body["sid"]))
    }

    fn receipts(sim: &Sim, message: &str) -> Vec<Value> {
        let (status, body) = sim.get(&format!("{message}/Receipts"));
        assert_eq!((status, &body["meta"]["key"]), (200, &"delivery_receipts".into()));
        body["delivery_receipts"].as_array().expect("rows").clone()
    }

    /// Status and error code of each receipt.
    fn outcome(sim: &Sim, message: &str) -> Vec<(String, u64)> {
        let outcome = |row: &Value| (text(&row["status"]), row["error_code"].as_u64().expect("a number"));
        receipts(sim, message).iter().map(outcome).collect()
    }

    #[test]
    fn everybody_outside_but_the_author_has_a_receipt() {
        let sim = Sim::new();
        let messages = group(&sim);
        let message = send(&sim, &messages, "system");
        let (_, first) = sim.get(&message);
        let rows = receipts(&sim, &message);
        let people = sim.twilio.conversations()[0].participants.clone();
        assert_eq!(rows.len(), 2);
        for (row, (person, prefix)) in rows.iter().zip(people.iter().zip(["SM", "WA"])) {
            assert!(is_sid("DY", &text(&row["sid"])) && is_sid(prefix, &text(&row["channel_message_sid"])));
            assert_eq!((&row["participant_sid"], &row["message_sid"]), (&json!(person.sid), &first["sid"]));
            assert_eq!(row["conversation_sid"], first["conversation_sid"]);
            assert_eq!(text(&row["url"]), format!("{}/Receipts/{}", text(&first["url"]), text(&row["sid"])));
            assert_eq!(sim.get(&format!("{message}/Receipts/{}", text(&row["sid"]))), (200, row.clone()));
        }
        let of_customer = receipts(&sim, &send(&sim, &messages, CUSTOMER));
        assert_eq!((of_customer.len(), &of_customer[0]["participant_sid"]), (1, &json!(people[1].sid)));
        assert_eq!(sim.get(&format!("{messages}/IM1/Receipts")).0, 404);
        assert_eq!(sim.get(&format!("{message}/Receipts/DY1")).0, 404);
    }

    #[test]
    fn a_message_is_sent_first_and_delivered_later() {
        let sim = Sim::new();
        let message = send(&sim, &group(&sim), "system");
        sim.clock.advance(999);
        assert_eq!(outcome(&sim, &message), [("sent".to_owned(), 0), ("sent".to_owned(), 0)]);
        let summary = |delivered: &str| {
            json!({
                "total": 2, "sent": "all", "delivered": delivered, "read": "none", "failed": "none",
                "undelivered": "none",
            })
        };
        assert_eq!(sim.get(&message).1["delivery"], summary("none"));
        sim.clock.advance(1);
        assert_eq!(outcome(&sim, &message), [("delivered".to_owned(), 0), ("delivered".to_owned(), 0)]);
        assert_eq!(sim.get(&message).1["delivery"], summary("all"));
        let row = receipts(&sim, &message).remove(0);
        assert_eq!(
            (text(&row["date_created"]), text(&row["date_updated"])),
            ("2026-01-02T03:04:05Z".to_owned(), "2026-01-02T03:04:06Z".to_owned())
        );
    }

    #[test]
    fn what_nobody_outside_gets_has_no_receipts() {
        let sim = Sim::new();
        let messages = format!("/v1/Conversations/{}/Messages", sim.conversation());
        let message = send(&sim, &messages, "system");
        assert_eq!(sim.get(&message).1["delivery"], Value::Null);
        assert_eq!(receipts(&sim, &message), Vec::<Value>::new());
        let written = sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        assert_eq!(sim.twilio.messages(&written.conversation_sid)[0].receipts, []);
    }

    #[test]
    fn who_comes_later_gets_nothing_of_what_was_said() {
        let sim = Sim::new();
        let sid = sim.conversation();
        let message = send(&sim, &format!("/v1/Conversations/{sid}/Messages"), "system");
        assert_eq!(sim.bind(&sid, CUSTOMER, OURS), 0);
        assert_eq!(receipts(&sim, &message), Vec::<Value>::new());
    }

    #[test]
    fn receipts_are_read_page_by_page() {
        let sim = Sim::new();
        let message = send(&sim, &group(&sim), "system");
        let (_, first) = sim.get(&format!("{message}/Receipts?PageSize=1"));
        let next = text(&first["meta"]["next_page_url"]).replace("https://conversations.twilio.com", "");
        let (_, second) = sim.get(&next);
        let both = [first, second].map(|page| page["delivery_receipts"][0].clone());
        assert_eq!(receipts(&sim, &message), both);
        assert_eq!(code(&sim.get(&format!("{message}/Receipts?PageSize=51"))), 20001);
    }

    #[test]
    fn who_cannot_be_reached_later_is_undelivered_with_the_reason() {
        let sim = Sim::new();
        let messages = group(&sim);
        let before = send(&sim, &messages, "system");
        sim.twilio.cannot_be_reached(CUSTOMER, 30003, Unreachable::Later);
        let message = send(&sim, &messages, "system");
        assert_eq!(outcome(&sim, &message), [("sent".to_owned(), 0), ("sent".to_owned(), 0)]);
        sim.clock.advance(1000);
        let failed = [("undelivered".to_owned(), 30003), ("delivered".to_owned(), 0)];
        assert_eq!(outcome(&sim, &message), failed);
        let delivery = sim.get(&message).1["delivery"].clone();
        assert_eq!(
            (&delivery["sent"], &delivery["delivered"], &delivery["undelivered"]),
            (&"all".into(), &"some".into(), &"some".into())
        );
        assert_eq!(outcome(&sim, &before)[0].0, "delivered");
        sim.twilio.can_be_reached(CUSTOMER);
        let after = send(&sim, &messages, "system");
        sim.clock.advance(1000);
        assert_eq!(
            (outcome(&sim, &after)[0].0.as_str(), outcome(&sim, &message)),
            ("delivered", failed.into())
        );
    }

    #[test]
    fn a_message_to_somebody_who_cannot_be_reached_at_once_is_refused() {
        let sim = Sim::new();
        let messages = group(&sim);
        sim.twilio.cannot_be_reached(CUSTOMER, 21610, Unreachable::AtOnce);
        let refused = sim.post(&messages, &[("Body", "hello")]);
        assert_eq!((refused.0, code(&refused)), (400, 21610));
        assert_eq!(sim.get(&messages).1["messages"], json!([]));
        // Their own message goes to the others, and elsewhere nobody minds.
        send(&sim, &messages, CUSTOMER);
        let elsewhere = sim.conversation();
        assert_eq!(sim.bind(&elsewhere, "+15551230003", OURS), 0);
        send(&sim, &format!("/v1/Conversations/{elsewhere}/Messages"), "system");
        sim.twilio.can_be_reached(CUSTOMER);
        send(&sim, &messages, "system");
    }

    #[test]
    fn a_message_of_an_agent_to_somebody_who_cannot_be_reached_fails_later() {
        let (sim, engaged) = Sim::attended();
        sim.twilio.cannot_be_reached(CUSTOMER, 21610, Unreachable::AtOnce);
        let written = sim.twilio.agent_writes(&engaged.task, "hello").expect("at work");
        sim.clock.advance(1000);
        let message = format!("/v1/Conversations/{}/Messages/{}", engaged.conversation, written.message_sid);
        assert_eq!(outcome(&sim, &message), [("undelivered".to_owned(), 21610)]);
    }
}
