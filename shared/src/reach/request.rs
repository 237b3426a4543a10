//! What is asked for, once it has been checked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::hexadecimal;
use crate::{
    conversation::{Agent, ChannelType, Contact, as_text},
    personal::Personal,
    sid::ContentSid,
    twilio::{MessageContent, NewScopedWebhook},
};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReachRequest {
    /// The customer's address, with the prefix of its channel.
    pub to: Personal<String>,
    /// Our address, with the prefix of its channel.
    pub from: String,
    /// `sms` or `whatsapp`.
    pub channel: ChannelType,
    /// Who begins.
    pub initiator: Initiator,
    /// The customer's name, for agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_name: Option<Personal<String>>,
    /// Attributes of the task.
    #[serde(default, with = "as_text")]
    pub attributes: Personal<Map<String, Value>>,
    /// The first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<FirstWords>,
    /// As whom it is sent; as flexglue where nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Personal<String>>,
    /// What to do where the customer is in a conversation already.
    pub on_conflict: OnConflict,
}

/// Who begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "initiated_by", rename_all = "snake_case")]
pub enum Initiator {
    /// An agent writes first; the task is theirs.
    Agent(Agent),
    /// A customer has asked to be contacted: routed like a message of theirs.
    Api,
    /// A reminder goes out. No agent is needed until the customer replies.
    System {
        /// Who hears of the reply.
        webhook: ReplyTo,
    },
}

/// The same, without what belongs to it: as it is named in requests and task attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitiatedBy {
    /// An agent.
    Agent,
    /// A back end, for a customer who asked for it.
    Api,
    /// A back end, on its own.
    System,
}

impl InitiatedBy {
    /// Its name in requests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Api => "api",
            Self::System => "system",
        }
    }
}

impl Initiator {
    /// Without what belongs to it.
    #[must_use]
    pub fn kind(&self) -> InitiatedBy {
        match self {
            Self::Agent(_) => InitiatedBy::Agent,
            Self::Api => InitiatedBy::Api,
            Self::System { .. } => InitiatedBy::System,
        }
    }
}

/// Who hears of the reply to a reminder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyTo {
    /// `inbound-webhook`, at this URL.
    Us(String),
    /// A Studio flow.
    Flow(crate::sid::FlowSid),
}

impl ReplyTo {
    /// The webhook that does it.
    #[must_use]
    pub fn webhook(&self) -> NewScopedWebhook {
        match self {
            Self::Us(url) => NewScopedWebhook::Webhook { url: url.clone() },
            Self::Flow(flow) => NewScopedWebhook::Studio { flow: flow.clone() },
        }
    }
}

/// What to do where the customer is in a conversation already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Nothing.
    #[default]
    Reject,
    /// Go into that conversation.
    Join,
    /// Close that conversation, if no agent is in it, and begin a new one.
    Replace,
}

/// The first message: a text, a template, or both, of which one is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstWords {
    /// A text of 1,600 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Personal<String>>,
    /// A template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// A template of the [Content API](https://www.twilio.com/docs/content).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Which.
    pub sid: ContentSid,
    /// What its placeholders stand for, a JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Personal<String>>,
}

impl FirstWords {
    /// Whether it matters if the customer has written within the last day: WhatsApp takes free texts then, and
    /// only templates later
    /// ([window](https://www.twilio.com/docs/whatsapp/key-concepts#the-24-hour-or-customer-service-window)).
    #[must_use]
    pub fn depends_on_window(&self, channel: ChannelType) -> bool {
        channel == ChannelType::Whatsapp && self.text.is_some() && self.template.is_some()
    }

    /// What is sent. Where there is a choice, the text, except on WhatsApp outside the window. `None` where there
    /// is neither.
    #[must_use]
    pub fn content(&self, channel: ChannelType, window_is_open: bool) -> Option<MessageContent> {
        let text = self.text.clone().map(MessageContent::Text);
        let template = self
            .template
            .clone()
            .map(|template| MessageContent::Template { sid: template.sid, variables: template.variables });
        if channel == ChannelType::Whatsapp && !window_is_open {
            template.or(text)
        } else {
            text.or(template)
        }
    }
}

impl ReachRequest {
    /// The pair of addresses, as a key that shows neither.
    #[must_use]
    pub fn pair(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(&self.from);
        digest.update([0]);
        digest.update(self.to.as_str());
        hexadecimal(&digest.finalize())
    }

    /// The customer, as a participant by this pair of addresses.
    #[must_use]
    pub fn contact(&self) -> Contact {
        Contact {
            kind: Some(self.channel.as_str().to_owned()),
            address: Some(self.to.clone()),
            proxy_address: Some(self.from.clone().into()),
            ..Contact::default()
        }
    }

    /// Drops what is about a person and needed no more. What was asked for is still known by its digest.
    pub(super) fn forget_the_person(&mut self) {
        self.to = Personal::default();
        self.customer_name = None;
        self.attributes = Personal::default();
        self.message = None;
        self.author = None;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::reach) fn agent() -> Initiator {
        Initiator::Agent(Agent {
            worker: "WK00000000000000000000000000000001".parse().unwrap(),
            queue: "WQ00000000000000000000000000000001".parse().unwrap(),
        })
    }

    pub(in crate::reach) fn system() -> Initiator {
        Initiator::System { webhook: ReplyTo::Us("https://example.com/webhooks/conversations".to_owned()) }
    }

    pub(in crate::reach) fn request() -> ReachRequest {
        ReachRequest {
            to: "+15551230001".to_owned().into(),
            from: "+15557770000".to_owned(),
            channel: ChannelType::Sms,
            initiator: Initiator::Api,
            customer_name: Some("Ada".to_owned().into()),
            attributes: serde_json::json!({"case": 7}).as_object().unwrap().clone().into(),
            message: Some(FirstWords { text: Some("hello".to_owned().into()), template: None }),
            author: None,
            on_conflict: OnConflict::Reject,
        }
    }

    #[test]
    fn whatsapp_gets_the_template_outside_its_24_hours() {
        let sid = || "HX00000000000000000000000000000001".parse().unwrap();
        let text = || Some(Personal("hello".to_owned()));
        let template = || Some(Template { sid: sid(), variables: None });
        let is_template = |words: &FirstWords, channel, open| {
            matches!(words.content(channel, open), Some(MessageContent::Template { .. }))
        };
        let both = FirstWords { text: text(), template: template() };
        assert!(is_template(&both, ChannelType::Whatsapp, false));
        assert!(!is_template(&both, ChannelType::Whatsapp, true));
        assert!(!is_template(&both, ChannelType::Sms, false));
        assert!(both.depends_on_window(ChannelType::Whatsapp) && !both.depends_on_window(ChannelType::Sms));
        let only_text = FirstWords { text: text(), template: None };
        assert!(
            !is_template(&only_text, ChannelType::Whatsapp, false),
            "nobody can know the window for sure"
        );
        let only_template = FirstWords { text: None, template: template() };
        assert!(is_template(&only_template, ChannelType::Sms, true));
    }

    #[test]
    fn a_pair_is_a_direction() {
        let there = request();
        let back = ReachRequest { to: there.from.clone().into(), from: there.to.0.clone(), ..request() };
        assert_ne!(there.pair(), back.pair());
        assert_eq!(there.pair(), request().pair());
        assert!(!there.pair().contains("555"));
    }
}
