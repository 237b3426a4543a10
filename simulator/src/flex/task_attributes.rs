//! The attributes that Flex adds to the tasks of an Interaction.

use serde_json::{Map, Value, json};

use crate::flex::asked::InitiatedBy;
use crate::flex::interactions::Interaction;

/// The caller's attributes with those of Flex, which win.
pub(crate) fn merged(
    interaction: &Interaction,
    invite_sid: &str,
    mut attributes: Map<String, Value>,
) -> Map<String, Value> {
    let channel = &interaction.channel;
    let outbound = interaction.initiated_by == InitiatedBy::Agent;
    let (direction, direction_capital) =
        if outbound { ("outbound", "Outbound") } else { ("inbound", "Inbound") };
    let flex = json!({
        "conversationSid": channel.conversation_sid,
        "channelType": channel.kind,
        "direction": direction,
        "initiatedBy": interaction.initiated_by.as_str(),
        "flexInteractionSid": interaction.sid,
        "flexInteractionChannelSid": channel.sid,
        "flexChannelInviteSid": invite_sid,
    });
    let conversations = json!({
        "initiated_by": capital(interaction.initiated_by.as_str()),
        "communication_channel": capital(&channel.kind),
        "conversation_id": interaction.sid,
        "media": [{ "type": "ChatTranscript", "sid": channel.conversation_sid }],
        "direction": direction_capital,
    });
    // Insights reads `conversations`, and callers add fields of their own to it.
    match attributes.get_mut("conversations").and_then(Value::as_object_mut) {
        Some(own) => own.extend(conversations.as_object().cloned().unwrap_or_default()),
        None => {
            attributes.insert("conversations".to_owned(), conversations);
        }
    }
    if let (Some(address), Some(name)) = (attributes.get("customerAddress"), attributes.get("customerName"))
        && !attributes.contains_key("customers")
    {
        let customers = json!({ "phone": address, "name": name, "email": null });
        attributes.insert("customers".to_owned(), customers);
    }
    attributes.extend(flex.as_object().cloned().unwrap_or_default());
    attributes
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
