//! What a chat user may do who shows an access token: read the conversations they are in, and write there.
//!
//! It stands for a client of the chat SDK. That one speaks a protocol of its own, which is not published, so
//! neither the paths nor the refusals of this file are confirmed; the rules are.

use crate::answer::{Refusal, Reply};
use crate::call::{Api, Call};
use crate::conversations::{find, in_our_service, messages, route as account_route};
use crate::world::World;

/// Finds the route for a call of a chat user.
pub(crate) fn route(world: &mut World, call: &Call, identity: &str) -> Reply {
    let segments = call.segments();
    let (Api::Conversations, ["v1", below @ ..]) = (call.api, segments.as_slice()) else {
        return Err(forbidden());
    };
    let below = in_our_service(world, below);
    match (call.method.as_str(), below) {
        ("GET", ["Conversations", key] | ["Conversations", key, "Messages" | "Participants"]) => {
            refuse_stranger(world, call, key, identity)?;
            account_route(world, call, below)
        }
        ("POST", ["Conversations", key, "Messages"]) => {
            refuse_stranger(world, call, key, identity)?;
            messages::create_as(world, call, key, identity)
        }
        _ => Err(forbidden()),
    }
}

/// Refuses a user who is not in the conversation, no matter whether there is one.
fn refuse_stranger(world: &World, call: &Call, key: &str, identity: &str) -> Result<(), Refusal> {
    if find(world, call, key).is_ok_and(|conversation| conversation.identity(identity).is_some()) {
        Ok(())
    } else {
        Err(Refusal::new(404, 50430, "Participant is not a member of conversation"))
    }
}

fn forbidden() -> Refusal {
    Refusal::new(403, 20403, "An access token does not allow this")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{Answered, CUSTOMER, HOOK, KEY, OURS, Sim, code, signed, text, token_header};
    use crate::{Reason, Unreachable};

    /// A web chat, and the guest's access token.
    fn chatting() -> (Sim, String, String) {
        let sim = Sim::new();
        let address = sim.twilio.settings().addresses[1].sid.clone();
        let (_, body) = sim.post("/v2/WebChats", &[("AddressSid", &address)]);
        let token = sim.token(&text(&body["identity"]));
        (sim, format!("/v1/Conversations/{}", text(&body["conversation_sid"])), token)
    }

    fn outcome(answered: &Answered) -> (u16, u64) {
        (answered.0, code(answered))
    }

    #[test]
    fn a_guest_sees_the_conversation_they_are_in_as_the_account_does() {
        let (sim, path, token) = chatting();
        sim.post(&format!("{path}/Messages"), &[("Author", "Concierge"), ("Body", "welcome")]);
        let service = sim.twilio.settings().chat_service_sid;
        for path in [
            path.clone(),
            format!("{path}/Messages"),
            format!("{path}/Messages?Order=desc&PageSize=1"),
            format!("{path}/Participants"),
            path.replace("/v1", &format!("/conversations/v1/Services/{service}")),
        ] {
            let seen = sim.as_user(&token, "GET", &path, &[]);
            assert_eq!((seen.0, &seen), (200, &sim.get(&path)), "{path}");
        }
    }

    #[test]
    fn a_guest_writes_as_nobody_else_and_webhooks_are_told() {
        let (sim, path, token) = chatting();
        let conversation = sim.twilio.conversations().remove(0);
        let identity = conversation.created_by;
        let form = [("Author", "alice_40example_2Ecom"), ("Body", "hello")];
        let (status, message) = sim.as_user(&token, "POST", &format!("{path}/Messages"), &form);
        assert_eq!((status, &message["author"]), (201, &json!(identity)));
        assert_eq!(message["participant_sid"], conversation.participants[0].sid.as_str());
        let webhook = sim.webhooks().remove(0);
        let expected = [
            ("Source", "SDK"),
            ("ClientIdentity", &*identity),
            ("Author", &*identity),
            ("Body", "hello"),
            ("MessageSid", &text(&message["sid"])),
        ];
        for (name, value) in expected {
            assert_eq!(webhook.param(name), Some(value), "{name}");
        }
        assert_eq!(webhook.url, HOOK);
        let refused = sim.as_user(&token, "POST", &format!("{path}/Messages"), &[("body", "hello")]);
        assert_eq!(refused.1["message"], "Unknown parameter body");
    }

    #[test]
    fn a_conversation_of_others_is_like_none() {
        let (sim, path, token) = chatting();
        let stranger = sim.token("guest-2");
        let elsewhere = sim.twilio.conversation_elsewhere(CUSTOMER, OURS);
        let none = format!("/v1/Conversations/CH{:032x}", 1);
        for (token, path) in [
            (&stranger, path.clone()),
            (&token, format!("/v1/Conversations/{}", sim.conversation())),
            (&token, format!("/v1/Conversations/{elsewhere}")),
            (&token, none),
        ] {
            for (method, below) in [("GET", ""), ("GET", "/Messages"), ("GET", "/Participants")] {
                let path = format!("{path}{below}");
                assert_eq!(outcome(&sim.as_user(token, method, &path, &[])), (404, 50430), "{path}");
            }
            let refused = sim.as_user(token, "POST", &format!("{path}/Messages"), &[("Body", "hello")]);
            assert_eq!(outcome(&refused), (404, 50430), "{path}");
        }
        let guest = sim.twilio.conversations()[0].created_by.clone();
        assert_eq!(sim.delete(&format!("{path}/Participants/{guest}")), 204);
        assert_eq!(outcome(&sim.as_user(&token, "GET", &path, &[])), (404, 50430));
        assert!(sim.events().is_empty());
    }

    #[test]
    fn an_access_token_allows_nothing_else() {
        let (sim, path, token) = chatting();
        let account = sim.twilio.settings().account_sid;
        for (method, path) in [
            ("POST", path.clone()),
            ("DELETE", path.clone()),
            ("POST", format!("{path}/Participants")),
            ("GET", format!("{path}/Participants/MB1")),
            ("GET", format!("{path}/Messages/IM1")),
            ("GET", format!("{path}/Webhooks")),
            ("GET", path.replace("/v1", "/v1/Services/IS1")),
            ("GET", path.replace("/v1", "/v2")),
            ("GET", "/v1/Conversations".to_owned()),
            ("POST", "/v1/Conversations".to_owned()),
            ("GET", "/v1/ParticipantConversations?Identity=guest-1".to_owned()),
            ("POST", "/v1/Interactions".to_owned()),
            ("POST", "/v2/WebChats".to_owned()),
            ("GET", format!("/v1/Workspaces/{}/Tasks", sim.twilio.settings().workspace_sid)),
            ("POST", format!("/v1/Accounts/{account}/Tokens/validate")),
            ("GET", "/".to_owned()),
        ] {
            assert_eq!(outcome(&sim.as_user(&token, method, &path, &[])), (403, 20403), "{method} {path}");
        }
        assert_eq!(sim.twilio.conversations().len(), 1);
    }

    #[test]
    fn a_closed_conversation_can_still_be_read() {
        let (sim, path, token) = chatting();
        let sid = sim.twilio.conversations().remove(0).sid;
        let write = || sim.as_user(&token, "POST", &format!("{path}/Messages"), &[("Body", "hello")]);
        assert_eq!(write().0, 201);
        sim.twilio.close_conversation(&sid, Reason::Timer).expect("open");
        assert_eq!(outcome(&write()), (400, 50377));
        assert_eq!(sim.as_user(&token, "GET", &path, &[]).1["state"], "closed");
        let (_, list) = sim.as_user(&token, "GET", &format!("{path}/Messages"), &[]);
        assert_eq!(list["messages"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn a_token_that_is_not_valid_opens_nothing() {
        let (sim, path, token) = chatting();
        let identity = sim.twilio.conversations().remove(0).created_by;
        let claiming = |exp: u64| {
            let mut claims = sim.claims(&identity);
            claims["exp"] = exp.into();
            claims
        };
        let long = signed(&token_header(), &claiming(crate::testing::START_MS / 1000 + 86_401), KEY.1);
        let forged = signed(&token_header(), &sim.claims(&identity), "another secret");
        let read = |token: &str| outcome(&sim.as_user(token, "GET", &path, &[]));
        assert_eq!([read(&long), read(&forged), read("")], [(401, 20157), (401, 20101), (401, 20101)]);
        assert_eq!(outcome(&sim.as_user(&forged, "POST", "/v2/WebChats", &[])), (401, 20101));
        assert_eq!(read(&token), (200, 0));
        sim.clock.advance(3_600_000);
        assert_eq!(read(&token), (401, 20104));
        let message = [("Body", "hello")];
        let written = sim.as_user(&token, "POST", &format!("{path}/Messages"), &message);
        assert_eq!(outcome(&written), (401, 20104));
        assert!(sim.twilio.messages(&sim.twilio.conversations()[0].sid).is_empty());
    }

    #[test]
    fn an_agent_who_writes_with_a_token_is_not_told_at_once_who_cannot_be_reached() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let path = format!("/v1/Conversations/{sid}");
        assert_eq!(sim.post(&format!("{path}/Participants"), &[("Identity", "alice")]).0, 201);
        sim.twilio.cannot_be_reached(CUSTOMER, 21610, Unreachable::AtOnce);
        let write = |token: &str| {
            sim.as_user(token, "POST", &format!("{path}/Messages"), &[("Body", "good morning")])
        };
        assert_eq!(write(&sim.token("alice")).0, 201);
        let receipts = sim.twilio.messages(&sid).remove(1).receipts;
        assert_eq!(receipts[0].error_code, Some(21610));
    }
}
