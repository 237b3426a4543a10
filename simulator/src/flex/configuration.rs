//! How Flex is configured: <https://www.twilio.com/docs/flex/developer/config>. What of it nobody here looks at is left out.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::parameters::Published;
use crate::world::World;

const FETCH: Published = Published { required: &[], optional: &["UiVersion"], repeated: &[] };

pub(super) fn fetch(world: &World, call: &Call) -> Reply {
    FETCH.read(&call.query)?;
    Ok(Answer::ok(shown(world, call)))
}

/// Takes JSON, which must name the account; of what it may hold this knows `channel_configs`.
pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    let Some(Value::Object(given)) = &call.json else {
        return Err(Refusal::invalid("The body is not a JSON object"));
    };
    if given.get("account_sid") != Some(&world.settings.account_sid.as_str().into()) {
        return Err(Refusal::invalid("account_sid is missing"));
    }
    for (name, value) in given {
        match (name.as_str(), value) {
            ("account_sid", _) => {}
            ("channel_configs", Value::Array(channels)) => {
                let enabled = |channel: &Value| {
                    let kind = channel["address_type"].as_str()?.to_owned();
                    Some((kind, channel["cbm_attachments"]["enabled"].as_bool()?))
                };
                world.settings.shown.attachments = channels.iter().filter_map(enabled).collect();
            }
            _ => return Err(Refusal::invalid(format!("Unknown property {name}"))),
        }
    }
    Ok(Answer::ok(shown(world, call)))
}

fn shown(world: &World, call: &Call) -> Value {
    let settings = &world.settings;
    let channels = settings.shown.attachments.iter().map(|(kind, enabled)| {
        json!({
            "address_type": kind,
            "cbm_attachments": {
                "enabled": enabled,
                "number_of_attachments": 1,
                "max_file_size": 16_777_216,
                "max_total_file_size": 67_108_864,
                "accepted_extensions": ["jpg", "pdf"],
            },
        })
    });
    json!({
        "account_sid": settings.account_sid,
        "status": "ok",
        "taskrouter_workspace_sid": settings.workspace_sid,
        "taskrouter_target_workflow_sid": settings.workflow_sid,
        "taskrouter_target_taskqueue_sid": settings.queue_sid,
        "messaging_service_instance_sid": settings.messaging_service_sid,
        "chat_service_instance_sid": settings.chat_service_sid,
        "flex_instance_sid": format!("GO{:032x}", 1),
        "ui_version": settings.shown.ui_version,
        "channel_configs": channels.collect::<Vec<_>>(),
        "date_created": "2026-01-01T00:00:00Z",
        "date_updated": "2026-01-01T00:00:00Z",
        "url": call.url(),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Sim;

    #[test]
    fn flex_shows_what_belongs_to_it_and_what_its_channels_may() {
        let sim = Sim::with(|settings| {
            settings.shown.attachments.insert("sms".to_owned(), false);
        });
        let (status, body) = sim.get("/flex-api/v1/Configuration");
        assert_eq!(
            (status, &body["chat_service_instance_sid"]),
            (200, &sim.twilio.settings().chat_service_sid.into())
        );
        assert_eq!(body["channel_configs"][0]["address_type"], "sms");
        assert_eq!(body["channel_configs"][0]["cbm_attachments"]["enabled"], false);
    }
}
