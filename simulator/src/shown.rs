//! What the account shows of its configuration and of its life without it having an effect on what is simulated: for
//! whoever checks an account.

use std::collections::BTreeMap;

/// See the module. The default is an account in which all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `active`, `suspended` or `closed`.
    pub account_status: String,
    /// By how many milliseconds Twilio's clock is ahead of the simulation's.
    pub clock_ahead_ms: i64,
    /// The service of conversations that name none; the Flex Chat Service where it is `None`.
    pub default_chat_service_sid: Option<String>,
    /// The version of Flex UI.
    pub ui_version: String,
    /// Whether files may be sent, by channel: `sms`, `whatsapp`, `web`.
    pub attachments: BTreeMap<String, bool>,
    /// The webhook of the whole account.
    pub global_webhook: WebhookConfiguration,
    /// Who is asked before something happens in the Flex Chat Service.
    pub service_pre_webhook_url: Option<String>,
    /// Whether workflows have a default filter.
    pub workflows_have_default: bool,
    /// What the debugger has noted, beside what the simulation warns of.
    pub alerts: Vec<Alert>,
}

/// A webhook of Conversations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookConfiguration {
    /// Who is asked before something happens.
    pub pre_url: Option<String>,
    /// Who is told afterwards.
    pub post_url: Option<String>,
    /// Of what.
    pub filters: Vec<String>,
}

/// Something that the debugger has noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// As in <https://www.twilio.com/docs/api/errors>.
    pub code: u32,
    /// When, in milliseconds since the epoch.
    pub at_ms: u64,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            account_status: "active".to_owned(),
            clock_ahead_ms: 0,
            default_chat_service_sid: None,
            ui_version: "^2.0.0".to_owned(),
            attachments: ["sms", "whatsapp", "web"].map(|kind| (kind.to_owned(), true)).into(),
            global_webhook: WebhookConfiguration::default(),
            service_pre_webhook_url: None,
            workflows_have_default: true,
            alerts: Vec::new(),
        }
    }
}
