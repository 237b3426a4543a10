//! How Conversations is configured: its defaults, its addresses, its webhooks.
//! See <https://www.twilio.com/docs/conversations/api/configuration-resource>,
//! <https://www.twilio.com/docs/conversations/api/address-configuration-resource>,
//! <https://www.twilio.com/docs/conversations/api/configuration-webhook-resource>.

use serde_json::{Value, json};

use super::scoped_webhooks::EVENTS;
use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::{NONE, Published};
use crate::settings::{Address, Integration, Settings};
use crate::shown::WebhookConfiguration;
use crate::world::World;

const LIST: Published =
    Published { required: &[], optional: &["Type", "PageSize", "Page", "PageToken"], repeated: &[] };

pub(super) fn fetch(world: &World, call: &Call) -> Reply {
    NONE.read(&call.query)?;
    Ok(Answer::ok(shown(world, call)))
}

fn shown(world: &World, call: &Call) -> Value {
    let settings = &world.settings;
    let url = call.url();
    json!({
        "account_sid": settings.account_sid,
        "default_chat_service_sid": settings.shown.default_chat_service_sid.as_ref().unwrap_or(&settings.chat_service_sid),
        "default_messaging_service_sid": settings.messaging_service_sid,
        "default_inactive_timer": settings.default_inactive_timer,
        "default_closed_timer": settings.default_closed_timer,
        "url": url,
        "links": { "service": format!("{url}/Services"), "webhooks": format!("{url}/Webhooks") },
    })
}

pub(super) fn list_addresses(world: &World, call: &Call) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let kind = parameters.text("Type");
    let settings = &world.settings;
    let addresses = settings.addresses.iter().filter(|address| kind.is_none_or(|kind| address.kind == kind));
    let rows =
        addresses.map(|address| json_of(settings, address, &format!("{}/{}", call.url(), address.sid)));
    page(call, "address_configurations", 50, 50, Row::numbered(rows))
}

pub(super) fn fetch_address(world: &World, call: &Call, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    let address = world.settings.addresses.iter().find(|address| address.sid == sid);
    let address = address.ok_or_else(|| call.not_found())?;
    Ok(Answer::ok(json_of(&world.settings, address, &call.url())))
}

const UPDATE_ADDRESS: Published = Published {
    required: &[],
    optional: &[
        "FriendlyName",
        "AutoCreation.Enabled",
        "AutoCreation.Type",
        "AutoCreation.ConversationServiceSid",
        "AutoCreation.WebhookUrl",
        "AutoCreation.WebhookMethod",
        "AutoCreation.StudioFlowSid",
        "AutoCreation.StudioRetryCount",
    ],
    repeated: &["AutoCreation.WebhookFilters"],
};

pub(super) fn update_address(world: &mut World, call: &Call, sid: &str) -> Reply {
    let parameters = UPDATE_ADDRESS.read(&call.form)?;
    let enabled = parameters.one_of("AutoCreation.Enabled", &["true", "false"])?;
    let kind = parameters.one_of("AutoCreation.Type", &["webhook", "studio", "default"])?;
    let service = parameters.sid("AutoCreation.ConversationServiceSid", "IS")?;
    let flow = parameters.sid("AutoCreation.StudioFlowSid", "FW")?;
    let method = parameters.one_of("AutoCreation.WebhookMethod", &["get", "post"])?;
    let filters = parameters.all("AutoCreation.WebhookFilters");
    if let Some(unknown) = filters.iter().find(|filter| !EVENTS.contains(&filter.as_str())) {
        return Err(Refusal::invalid(format!("Invalid AutoCreation.WebhookFilters: {unknown}")));
    }
    let address = world.settings.addresses.iter_mut().find(|address| address.sid == sid);
    let address = address.ok_or_else(|| call.not_found())?;
    let integration = match kind {
        None => None,
        Some("webhook") => {
            let url = parameters.text("AutoCreation.WebhookUrl").filter(|url| !url.is_empty());
            let url = url.ok_or_else(|| Refusal::invalid("AutoCreation.WebhookUrl is missing"))?;
            if filters.is_empty() {
                return Err(Refusal::invalid("AutoCreation.WebhookFilters is missing"));
            }
            let method = method.unwrap_or("POST").to_uppercase();
            Some(Integration::Webhook { url: url.to_owned(), method, filters })
        }
        Some("studio") => {
            let flow_sid = flow.ok_or_else(|| Refusal::invalid("AutoCreation.StudioFlowSid is missing"))?;
            Some(Integration::Studio { flow_sid })
        }
        Some(_) => Some(Integration::Default),
    };
    address.enabled = enabled.map_or(address.enabled, |enabled| enabled == "true");
    address.service_sid = service.or(address.service_sid.take());
    address.integration = integration.unwrap_or_else(|| address.integration.clone());
    let address = address.clone();
    Ok(Answer::ok(json_of(&world.settings, &address, &call.url())))
}

const UPDATE: Published = Published {
    required: &[],
    optional: &[
        "DefaultChatServiceSid",
        "DefaultMessagingServiceSid",
        "DefaultInactiveTimer",
        "DefaultClosedTimer",
    ],
    repeated: &[],
};

pub(super) fn update(world: &mut World, call: &Call) -> Reply {
    let parameters = UPDATE.read(&call.form)?;
    let timer = |name: &str| match parameters.text(name) {
        Some(text) if !text.is_empty() && dates::duration_ms(text).is_none() => {
            Err(Refusal::invalid(format!("{name} is not an ISO 8601 duration")))
        }
        found => Ok(found.map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()))),
    };
    let (inactive, closed) = (timer("DefaultInactiveTimer")?, timer("DefaultClosedTimer")?);
    let service = parameters.sid("DefaultChatServiceSid", "IS")?;
    let settings = &mut world.settings;
    settings.default_inactive_timer = inactive.unwrap_or_else(|| settings.default_inactive_timer.take());
    settings.default_closed_timer = closed.unwrap_or_else(|| settings.default_closed_timer.take());
    settings.shown.default_chat_service_sid = service.or(settings.shown.default_chat_service_sid.take());
    Ok(Answer::ok(shown(world, call)))
}

fn json_of(settings: &Settings, address: &Address, url: &str) -> Value {
    let mut creation = json!({
        "enabled": address.enabled,
        "type": null,
        "conversation_service_sid": address.service_sid,
        "webhook_url": null,
        "webhook_method": null,
        "webhook_filters": null,
        "studio_flow_sid": null,
        "studio_retry_count": null,
    });
    match &address.integration {
        Integration::Webhook { url, method, filters } => {
            creation["type"] = "webhook".into();
            creation["webhook_url"] = url.as_str().into();
            creation["webhook_method"] = method.to_uppercase().into();
            creation["webhook_filters"] = json!(filters);
        }
        Integration::Studio { flow_sid } => {
            creation["type"] = "studio".into();
            creation["studio_flow_sid"] = flow_sid.as_str().into();
            creation["studio_retry_count"] = 0.into();
        }
        Integration::Default => creation["type"] = "default".into(),
    }
    json!({
        "sid": address.sid,
        "account_sid": settings.account_sid,
        "type": address.kind,
        "address": address.address,
        "friendly_name": null,
        "auto_creation": creation,
        "address_country": null,
        "date_created": "2026-01-01T00:00:00Z",
        "date_updated": "2026-01-01T00:00:00Z",
        "url": url,
    })
}

/// The webhook of the whole account, or of our service: below `Services` it is the latter's.
pub(super) fn webhook(world: &World, call: &Call, segments: &[&str]) -> Reply {
    NONE.read(&call.query)?;
    let settings = &world.settings;
    let of_service = segments.first() == Some(&"Services");
    let configured = if of_service {
        let post = settings.service_webhook.as_ref();
        WebhookConfiguration {
            pre_url: settings.shown.service_pre_webhook_url.clone(),
            post_url: post.map(|post| post.url.clone()),
            filters: post.map(|post| post.filters.clone()).unwrap_or_default(),
        }
    } else {
        settings.shown.global_webhook.clone()
    };
    let mut body = json!({
        "account_sid": settings.account_sid,
        "pre_webhook_url": configured.pre_url,
        "post_webhook_url": configured.post_url,
        "method": "POST",
        "filters": configured.filters,
        "url": call.url(),
    });
    let (name, value) = if of_service {
        ("chat_service_sid", settings.chat_service_sid.as_str())
    } else {
        ("target", "webhook")
    };
    body[name] = value.into();
    Ok(Answer::ok(body))
}

#[cfg(test)]
mod tests {
    use crate::settings::{Address, Integration, ServiceWebhook};
    use crate::testing::{HOOK, Sim};

    #[test]
    fn addresses_show_what_they_make_of_a_first_message() {
        let sim = Sim::with(|settings| {
            let flow_sid = format!("FW{:032x}", 1);
            let studio = Address::webhook("whatsapp", "whatsapp:+15557770000", "");
            settings.addresses.push(Address { integration: Integration::Studio { flow_sid }, ..studio });
        });
        let (_, all) = sim.get("/v1/Configuration/Addresses");
        let creation = |number: usize| &all["address_configurations"][number]["auto_creation"];
        assert_eq!(
            (&creation(0)["webhook_url"], &creation(0)["webhook_method"]),
            (&HOOK.into(), &"POST".into())
        );
        assert_eq!(creation(2)["type"], "studio");
        let (_, chats) = sim.get("/v1/Configuration/Addresses?Type=chat");
        assert_eq!(chats["address_configurations"].as_array().map(Vec::len), Some(1));
        let sid = all["address_configurations"][0]["sid"].as_str().expect("a sid");
        assert_eq!(sim.get(&format!("/v1/Configuration/Addresses/{sid}")).1["type"], "sms");
        assert_eq!(sim.get("/v1/Configuration/Addresses/IG1").0, 404);
    }

    #[test]
    fn webhooks_of_the_account_and_of_the_service_are_two() {
        let sim = Sim::with(|settings| {
            let filters = vec!["onMessageAdded".to_owned()];
            settings.service_webhook = Some(ServiceWebhook { url: HOOK.to_owned(), filters });
            settings.shown.global_webhook.pre_url = Some("https://example.com/pre".to_owned());
        });
        let (_, global) = sim.get("/v1/Configuration/Webhooks");
        assert_eq!(
            (&global["pre_webhook_url"], &global["target"]),
            (&"https://example.com/pre".into(), &"webhook".into())
        );
        let service = sim.twilio.settings().chat_service_sid;
        let (_, service) = sim.get(&format!("/v1/Services/{service}/Configuration/Webhooks"));
        assert_eq!(
            (&service["post_webhook_url"], &service["filters"][0]),
            (&HOOK.into(), &"onMessageAdded".into())
        );
    }
}
