//! In which conversations an address or an identity is. Closed ones are listed as well; those of other chat
//! services are not, though whether Twilio leaves them out is not confirmed.
//! See <https://www.twilio.com/docs/conversations/api/participant-conversation-resource>.

use serde_json::{Value, json};

use crate::answer::{Refusal, Reply};
use crate::call::Call;
use crate::conversations::participants::{Binding, Participant};
use crate::conversations::{Conversation, ours};
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::Published;
use crate::world::World;

const LIST: Published = Published {
    required: &[],
    optional: &["Address", "Identity", "PageSize", "Page", "PageToken"],
    repeated: &[],
};

pub(super) fn list(world: &World, call: &Call) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let (address, identity) = (parameters.text("Address"), parameters.text("Identity"));
    if address.is_some() == identity.is_some() {
        return Err(Refusal::invalid("Exactly one of Address and Identity must be given"));
    }
    let is_asked = |participant: &&Participant| {
        participant.identity.as_deref().is_some_and(|own| Some(own) == identity)
            || participant.binding.as_ref().is_some_and(|own| Some(own.address.as_str()) == address)
    };
    let rows = ours(world)
        .flat_map(|conversation| {
            conversation.participants.iter().filter(is_asked).map(|participant| {
                let place = format!("{}{}", conversation.sid, participant.sid);
                Row::by(place, row(world, conversation, participant))
            })
        })
        .collect();
    page(call, "conversations", 50, 50, rows)
}

fn row(world: &World, conversation: &Conversation, participant: &Participant) -> Value {
    let url = format!("https://conversations.twilio.com/v1/Conversations/{}", conversation.sid);
    json!({
        "account_sid": world.settings.account_sid,
        "chat_service_sid": world.settings.chat_service_sid,
        "participant_sid": participant.sid,
        "participant_user_sid": null,
        "participant_identity": participant.identity,
        "participant_messaging_binding": participant.binding.as_ref().map(Binding::json),
        "conversation_sid": conversation.sid,
        "conversation_unique_name": conversation.unique_name,
        "conversation_friendly_name": conversation.friendly_name,
        "conversation_attributes": conversation.attributes,
        "conversation_date_created": dates::seconds(conversation.created_ms),
        "conversation_date_updated": dates::seconds(conversation.updated_ms),
        "conversation_created_by": conversation.created_by,
        "conversation_state": conversation.state.as_str(),
        "conversation_timers": conversation.timers_json(),
        "links": {
            "participant": format!("{url}/Participants/{}", participant.sid),
            "conversation": url,
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, OURS, Sim, code, text};

    #[test]
    fn every_conversation_of_an_address_is_listed_closed_ones_too() {
        let sim = Sim::new();
        let closed = sim.twilio.customer_writes(CUSTOMER, OURS, "one").conversation_sid;
        sim.twilio.close_conversation(&closed, crate::Reason::Api).expect("open");
        let open = sim.twilio.customer_writes(CUSTOMER, OURS, "two").conversation_sid;
        sim.twilio.customer_writes("+15551230002", OURS, "other");
        let (status, body) = sim.get("/v1/ParticipantConversations?Address=%2B15551230001");
        assert_eq!((status, &body["meta"]["page_size"]), (200, &50.into()));
        let rows = body["conversations"].as_array().expect("rows");
        let mut found: Vec<(String, String)> = rows
            .iter()
            .map(|row| (text(&row["conversation_sid"]), text(&row["conversation_state"])))
            .collect();
        assert!(found.is_sorted());
        found.sort_by_key(|(_, state)| state.clone());
        assert_eq!(found, [(open, "active".to_owned()), (closed, "closed".to_owned())]);
        assert_eq!(rows[0]["participant_messaging_binding"]["proxy_address"], OURS);
    }

    #[test]
    fn the_conversations_of_an_address_come_in_pages_of_fifty_by_their_sids() {
        let sim = Sim::new();
        let service = sim.twilio.settings().chat_service_sid;
        let ours = "whatsapp:+15557770000";
        for (address, proxy_address, query) in [
            (CUSTOMER, OURS, "Address=%2B15551230001"),
            ("whatsapp:+15551230001", ours, "Address=whatsapp%3A%2B15551230001"),
        ] {
            let mut all: Vec<String> = (0..51)
                .map(|_| {
                    let sid = sim.twilio.customer_writes(address, proxy_address, "hello").conversation_sid;
                    sim.twilio.close_conversation(&sid, crate::Reason::Api).expect("open");
                    sid
                })
                .collect();
            all.sort();
            let (_, first) = sim.get(&format!("/v1/ParticipantConversations?{query}"));
            let next = text(&first["meta"]["next_page_url"]);
            let (_, second) = sim.get(&next.replace("https://conversations.twilio.com", ""));
            assert_eq!(second["meta"]["next_page_url"], serde_json::Value::Null);
            let pages = [first, second].map(|page| page["conversations"].as_array().expect("rows").clone());
            assert_eq!(pages.each_ref().map(Vec::len), [50, 1]);
            let rows = pages.concat();
            assert!(rows.iter().all(|row| row["chat_service_sid"] == service.as_str()));
            let sids: Vec<String> = rows.iter().map(|row| text(&row["conversation_sid"])).collect();
            assert_eq!(sids, all);
        }
    }

    #[test]
    fn a_conversation_of_another_service_holds_its_pair_and_shows_nowhere() {
        let sim = Sim::new();
        let elsewhere = sim.twilio.conversation_elsewhere(CUSTOMER, OURS);
        let conversation = sim.twilio.conversation(&elsewhere).expect("made");
        assert!(conversation.elsewhere && conversation.bound(CUSTOMER, OURS).is_some());
        assert_eq!(sim.bind(&sim.conversation(), CUSTOMER, OURS), 50416);
        let (_, rows) = sim.get("/v1/ParticipantConversations?Address=%2B15551230001");
        assert_eq!(rows["conversations"], serde_json::json!([]));
        let all = sim.twilio.conversations();
        assert_eq!(all.len(), 1);
        let listed = sim.get("/v1/Conversations").1["conversations"].clone();
        assert_eq!(listed.as_array().map(Vec::len), Some(1));
        let path = format!("/v1/Conversations/{elsewhere}");
        for path in [path.clone(), format!("{path}/Participants")] {
            assert_eq!(sim.get(&path).0, 404, "{path}");
        }
        assert_eq!((sim.post(&path, &[("State", "closed")]).0, sim.delete(&path)), (404, 404));
        sim.twilio.close_conversation(&elsewhere, crate::Reason::Timer).expect("open");
        assert_eq!(sim.bind(&all[0].sid, CUSTOMER, OURS), 0);
    }

    #[test]
    fn a_customer_whose_pair_is_in_another_service_writes_there() {
        let hook = crate::ServiceWebhook {
            url: "https://example.com/all".to_owned(),
            filters: vec!["onMessageAdded".to_owned()],
        };
        let sim = Sim::with(|settings| settings.service_webhook = Some(hook));
        let elsewhere = sim.twilio.conversation_elsewhere(CUSTOMER, OURS);
        let written = sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        assert_eq!(written.conversation_sid, elsewhere);
        assert_eq!(sim.twilio.messages(&elsewhere).len(), 1);
        assert!(sim.events().is_empty());
        sim.interact(&elsewhere);
        sim.clock.advance(200);
        let channel = sim.twilio.interactions().remove(0).channel;
        assert_eq!(channel.error.map(|error| error.code), Some(45376));
    }

    #[test]
    fn one_of_address_and_identity_is_asked_for() {
        let sim = Sim::new();
        sim.twilio.create_chat_conversation("Website", "guest-1", &serde_json::json!({}));
        let (_, body) = sim.get("/v1/ParticipantConversations?Identity=guest-1");
        assert_eq!(body["conversations"][0]["participant_messaging_binding"], serde_json::Value::Null);
        assert_eq!(code(&sim.get("/v1/ParticipantConversations")), 20001);
        assert_eq!(code(&sim.get("/v1/ParticipantConversations?Identity=a&Address=b")), 20001);
        // An unencoded plus is a space: the address is another one.
        sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        let (_, body) = sim.get("/v1/ParticipantConversations?Address=+15551230001");
        assert_eq!(body["conversations"], serde_json::json!([]));
    }
}
