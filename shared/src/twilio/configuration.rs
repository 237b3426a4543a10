//! How an account is configured for Flex Conversations: [Flex](https://www.twilio.com/docs/flex/developer/config),
//! [Conversations](https://www.twilio.com/docs/conversations/api/configuration-resource), its
//! [addresses](https://www.twilio.com/docs/conversations/api/address-configuration-resource) and its
//! [webhooks](https://www.twilio.com/docs/conversations/api/configuration-webhook-resource). For `flexglue doctor`; no
//! function asks for any of it.
//!
//! What Twilio shows is taken as texts: here it is judged, and something unexpected is to be told rather than to make an
//! answer unreadable.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Call, CallError, Twilio,
    messages::AnyAnswer,
    page::{Next, RawPage},
};
use crate::{
    clock::Deadline,
    sid::{AddressSid, ChatServiceSid},
};

/// The configuration of Flex.
#[derive(Clone, Debug, Deserialize)]
pub struct FlexConfiguration {
    /// The Flex Chat Service, `IS…`.
    #[serde(default)]
    pub chat_service_instance_sid: Option<String>,
    /// The workspace of Flex, `WS…`.
    #[serde(default)]
    pub taskrouter_workspace_sid: Option<String>,
    /// The version of Flex UI, such as `2.7.0` or `^2.0.0`.
    #[serde(default)]
    pub ui_version: Option<String>,
    /// What each channel may do, as Twilio shows it: it is only ever written as a whole.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub channel_configs: Vec<Value>,
}

/// Whether files may be sent on a channel of [`FlexConfiguration::channel_configs`]: its type (`sms`, `whatsapp`, `web`, …)
/// and whether they may, where it says so.
#[must_use]
pub fn attachments(channel: &Value) -> Option<(&str, bool)> {
    Some((channel["address_type"].as_str()?, channel["cbm_attachments"]["enabled"].as_bool()?))
}

/// The configuration of Conversations.
#[derive(Clone, Debug, Deserialize)]
pub struct ConversationsConfiguration {
    /// The service of conversations that name none, `IS…`.
    #[serde(default)]
    pub default_chat_service_sid: Option<String>,
    /// After how long without a message a conversation falls asleep, ISO 8601.
    #[serde(default)]
    pub default_inactive_timer: Option<String>,
    /// After how long it is closed, ISO 8601.
    #[serde(default)]
    pub default_closed_timer: Option<String>,
}

/// An address at which customers write.
#[derive(Clone, Debug, Deserialize)]
pub struct AddressResource {
    /// Its SID, `IG…`.
    pub sid: AddressSid,
    /// `sms`, `whatsapp`, `chat`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The number, or the name of a web chat.
    #[serde(default)]
    pub address: Option<String>,
    /// What is made of a first message.
    #[serde(default)]
    pub auto_creation: Option<AutoCreation>,
}

impl AddressResource {
    /// What people call it: its type and its number.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.kind, self.address.as_deref().unwrap_or(self.sid.as_str()))
    }
}

/// What is made of a first message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoCreation {
    /// Whether a conversation is made of it at all.
    #[serde(default)]
    pub enabled: bool,
    /// `webhook`, `studio` or `default`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The service in which it is made; `None` is the account's default.
    #[serde(default)]
    pub conversation_service_sid: Option<String>,
    /// Where its webhook goes.
    #[serde(default)]
    pub webhook_url: Option<String>,
    /// How.
    #[serde(default)]
    pub webhook_method: Option<String>,
    /// What its webhook hears.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub webhook_filters: Vec<String>,
    /// The Studio flow that it starts, `FW…`.
    #[serde(default)]
    pub studio_flow_sid: Option<String>,
}

/// The webhook of the whole account, or of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct WebhookConfiguration {
    /// Who is asked before something happens, and may refuse it.
    #[serde(default)]
    pub pre_webhook_url: Option<String>,
    /// Who is told afterwards.
    #[serde(default)]
    pub post_webhook_url: Option<String>,
    /// Of what.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub filters: Vec<String>,
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Pages of addresses that are read at most, of 50 each.
const MOST_PAGES: usize = 40;

impl Twilio {
    /// How Flex is configured.
    pub async fn flex_configuration(&self, deadline: Deadline) -> Result<FlexConfiguration, CallError> {
        self.send(Call::get(&self.bases.flex, CONFIGURATION.to_owned(), Vec::new()), deadline).await
    }

    /// How Conversations is configured.
    pub async fn conversations_configuration(
        &self,
        deadline: Deadline,
    ) -> Result<ConversationsConfiguration, CallError> {
        self.configured("", deadline).await
    }

    /// The addresses at which customers write, all of them.
    pub async fn addresses(&self, deadline: Deadline) -> Result<Vec<AddressResource>, CallError> {
        let (mut addresses, mut next) = (Vec::new(), None::<Next>);
        for _ in 0..MOST_PAGES {
            let mut fields = vec![("PageSize", "50".to_owned())];
            fields.extend(next.iter().flat_map(Next::fields));
            let path = format!("{CONFIGURATION}/Addresses");
            let call = Call::get(&self.bases.conversations, path, fields);
            let page = self.send::<RawPage>(call, deadline).await?.read("address_configurations")?;
            addresses.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(addresses)
    }

    /// The webhook that hears of every conversation of the account, unless its service has one.
    pub async fn global_webhook(&self, deadline: Deadline) -> Result<WebhookConfiguration, CallError> {
        self.configured("/Webhooks", deadline).await
    }

    /// The webhook that hears of every conversation of a service.
    pub async fn service_webhook(
        &self,
        service: &ChatServiceSid,
        deadline: Deadline,
    ) -> Result<WebhookConfiguration, CallError> {
        let path = format!("/v1/Services/{service}/Configuration/Webhooks");
        self.send(Call::get(&self.bases.conversations, path, Vec::new()), deadline).await
    }

    /// Changes what is made of a first message to an address: all that `creation` says.
    pub async fn update_address(
        &self,
        sid: &AddressSid,
        creation: &AutoCreation,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let AutoCreation {
            enabled,
            kind,
            conversation_service_sid,
            webhook_url,
            webhook_method,
            webhook_filters,
            studio_flow_sid,
        } = creation;
        let mut fields = vec![("AutoCreation.Enabled", enabled.to_string())];
        // Twilio shows it in upper case, and takes it in lower case.
        let webhook_method = &webhook_method.as_ref().map(|method| method.to_lowercase());
        for (name, value) in [
            ("AutoCreation.Type", kind),
            ("AutoCreation.ConversationServiceSid", conversation_service_sid),
            ("AutoCreation.WebhookUrl", webhook_url),
            ("AutoCreation.WebhookMethod", webhook_method),
            ("AutoCreation.StudioFlowSid", studio_flow_sid),
        ] {
            fields.extend(value.clone().map(|value| (name, value)));
        }
        fields.extend(webhook_filters.iter().map(|filter| ("AutoCreation.WebhookFilters", filter.clone())));
        let path = format!("{CONFIGURATION}/Addresses/{sid}");
        let AnyAnswer {} = self.send(Call::post(&self.bases.conversations, path, fields), deadline).await?;
        Ok(())
    }

    /// Changes after how long a conversation in which nobody writes is closed: ISO 8601, or nothing for never.
    pub async fn update_closed_timer(&self, timer: &str, deadline: Deadline) -> Result<(), CallError> {
        let fields = vec![("DefaultClosedTimer", timer.to_owned())];
        let call = Call::post(&self.bases.conversations, CONFIGURATION.to_owned(), fields);
        let AnyAnswer {} = self.send(call, deadline).await?;
        Ok(())
    }

    /// Changes what each channel may do: all of [`FlexConfiguration::channel_configs`]
    /// ([how](https://www.twilio.com/docs/flex/developer/conversations/faq-and-troubleshooting)).
    pub async fn update_channel_configs(
        &self,
        channels: &[Value],
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let body = json!({ "account_sid": self.account, "channel_configs": channels });
        let call = Call::post_json(&self.bases.flex, CONFIGURATION.to_owned(), body);
        let AnyAnswer {} = self.send(call, deadline).await?;
        Ok(())
    }

    async fn configured<T: DeserializeOwned>(&self, what: &str, deadline: Deadline) -> Result<T, CallError> {
        let path = format!("{CONFIGURATION}{what}");
        self.send(Call::get(&self.bases.conversations, path, Vec::new()), deadline).await
    }
}

const CONFIGURATION: &str = "/v1/Configuration";
