//! In which conversations an address or an identity is. Closed ones are listed as well.
//! See <https://www.twilio.com/docs/conversations/api/participant-conversation-resource>.

use serde_json::{Value, json};

use crate::answer::{Refusal, Reply, page};
use crate::call::Call;
use crate::conversations::Conversation;
use crate::conversations::participants::{Binding, Participant};
use crate::dates;
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
    // The map is ordered by sid, as the list is.
    let rows = world
        .conversations
        .values()
        .flat_map(|conversation| {
            conversation
                .participants
                .iter()
                .filter(is_asked)
                .map(|participant| row(world, conversation, participant))
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
