//! The [event callback](https://www.twilio.com/docs/taskrouter/api/event/reference) of a TaskRouter
//! workspace.

use super::{super::verified::Verified, MalformedEventFields, fields::Fields};
use crate::{
    clock::Timestamp,
    conversation::{TaskFacts, TaskNews},
    sid::{AccountSid, WorkspaceSid},
};

/// Something that happened in a workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRouterEvent {
    /// The account that the callback speaks for.
    pub account_sid: AccountSid,
    /// The workspace.
    pub workspace_sid: Option<WorkspaceSid>,
    /// What happened.
    pub news: TaskRouterNews,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskRouterNews {
    /// Something to a task that is worth knowing.
    Task {
        /// What.
        news: TaskNews,
        /// When; `None` where the callback does not say.
        at: Option<Timestamp>,
        /// To which task.
        facts: TaskFacts,
    },
    /// Anything else: workers, queues, activities, offers.
    Other {
        /// Its `EventType`.
        event_type: String,
    },
}

impl TaskRouterEvent {
    /// Reads the callback.
    ///
    /// Only what it is about must be right: type, account and task. What only adds to it is left out where it
    /// cannot be read.
    ///
    /// # Errors
    /// Names every field that is missing or wrong, never a value.
    pub fn from_verified(verified: &Verified) -> Result<Self, MalformedEventFields> {
        let mut fields = Fields::of(verified);
        let event_type = fields.required_text("EventType");
        let account_sid = fields.required(&["AccountSid"]);
        let workspace_sid = fields.optional(&["WorkspaceSid"]);
        let news = match event_type.as_deref().and_then(TaskNews::named) {
            Some(news) => fields.required(&["TaskSid"]).map(|task| TaskRouterNews::Task {
                news,
                at: happened_at(&fields),
                facts: TaskFacts {
                    task,
                    attributes: fields.attributes("TaskAttributes"),
                    workflow: fields.lenient("WorkflowSid"),
                    task_channel: fields.lenient("TaskChannelUniqueName"),
                    priority: fields.lenient("TaskPriority"),
                },
            }),
            None => event_type.map(|event_type| TaskRouterNews::Other { event_type }),
        };
        let event = || Some(Self { account_sid: account_sid?, workspace_sid, news: news? });
        let event = event();
        fields.finish(event)
    }
}

/// `TimestampMs` where it is sent, else `Timestamp`, in seconds.
fn happened_at(fields: &Fields<'_>) -> Option<Timestamp> {
    let millis = fields.lenient("TimestampMs").map(Timestamp::from_millis);
    millis.or_else(|| fields.lenient("Timestamp").map(Timestamp::from_seconds))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::{
        conversation::{ChannelType, Terminal},
        routing::RoutingDefaults,
    };

    const TASK: &str = "WT00000000000000000000000000000001";
    const ATTRIBUTES: &str = r#"{"from":"+15551230001","customerAddress":"+15551230001","channelType":"sms",
        "skill":"billing","conversationSid":"CH00000000000000000000000000000001",
        "flexInteractionSid":"KD00000000000000000000000000000001",
        "flexInteractionChannelSid":"UO00000000000000000000000000000001",
        "flexChannelInviteSid":"KG00000000000000000000000000000001"}"#;

    fn defaults() -> RoutingDefaults {
        RoutingDefaults {
            workspace: "WS00000000000000000000000000000001".parse().unwrap(),
            workflow: "WW00000000000000000000000000000001".parse().unwrap(),
            fallback_workflow: "WW00000000000000000000000000000002".parse().unwrap(),
            task_channel: "chat".to_owned(),
        }
    }

    fn read(more: &[(&str, &str)]) -> Result<TaskRouterEvent, MalformedEventFields> {
        let common = [
            ("AccountSid", "AC00000000000000000000000000000001"),
            ("WorkspaceSid", "WS00000000000000000000000000000001"),
            ("TaskSid", TASK),
            ("WorkflowSid", "WW00000000000000000000000000000001"),
            ("TaskChannelUniqueName", "chat"),
            ("TaskPriority", "3"),
            ("Timestamp", "1800000000"),
        ];
        let fields = common.iter().chain(more).copied().collect();
        TaskRouterEvent::from_verified(&Verified::new(fields, &HeaderMap::new()))
    }

    fn task(more: &[(&str, &str)]) -> (TaskNews, Option<Timestamp>, TaskFacts) {
        match read(more).unwrap().news {
            TaskRouterNews::Task { news, at, facts } => (news, at, facts),
            TaskRouterNews::Other { event_type } => panic!("{event_type}"),
        }
    }

    #[test]
    fn the_end_of_a_task_is_read_with_everything_a_re_invite_needs() {
        let (news, at, facts) = task(&[("EventType", "workflow.timeout"), ("TaskAttributes", ATTRIBUTES)]);
        assert_eq!(news, TaskNews::Ended(Terminal::WorkflowTimeout));
        assert_eq!(at, Some(Timestamp::from_seconds(1_800_000_000)));
        let event = facts.event(news, at.unwrap(), &defaults()).unwrap();
        assert_eq!(event.task.as_str(), TASK);
        assert_eq!(event.conversation.unwrap().as_str(), "CH00000000000000000000000000000001");
        assert_eq!(event.interaction.as_str(), "KD00000000000000000000000000000001");
        let routing = event.routing.unwrap();
        assert_eq!((routing.channel_type, routing.priority), (ChannelType::Sms, Some(3)));
        assert_eq!(routing.attributes["skill"], "billing");
        assert!(!routing.attributes.contains_key("flexChannelInviteSid"), "that is of the old task alone");
    }

    #[test]
    fn milliseconds_are_taken_where_they_are_sent() {
        let (_, at, _) = task(&[("EventType", "task.created"), ("TimestampMs", "1800000000123")]);
        assert_eq!(at, Some(Timestamp::from_millis(1_800_000_000_123)));
    }

    #[test]
    fn a_task_that_is_none_of_flex_is_no_event() {
        for attributes in [
            "",
            "{}",
            "null",
            "not json",
            r#"{"flexInteractionSid":"KD00000000000000000000000000000001"}"#,
            r#"{"flexInteractionSid":"KD1","flexInteractionChannelSid":"UO00000000000000000000000000000001"}"#,
            r#"{"flexInteractionSid":7,"flexInteractionChannelSid":[]}"#,
        ] {
            let (news, _, facts) = task(&[("EventType", "task.canceled"), ("TaskAttributes", attributes)]);
            assert!(facts.event(news, Timestamp::from_millis(1), &defaults()).is_none(), "{attributes}");
        }
    }

    #[test]
    fn what_a_callback_does_not_say_of_its_routing_is_as_by_default() {
        let bare = [("EventType", "task.canceled"), ("AccountSid", "AC00000000000000000000000000000001")];
        let fields =
            bare.iter().chain(&[("TaskSid", TASK), ("TaskAttributes", ATTRIBUTES)]).copied().collect();
        let event = TaskRouterEvent::from_verified(&Verified::new(fields, &HeaderMap::new())).unwrap();
        let TaskRouterNews::Task { news, at: None, facts } = event.news else { panic!() };
        let routing = facts.event(news, Timestamp::from_millis(1), &defaults()).unwrap().routing.unwrap();
        assert_eq!((routing.workflow, routing.task_channel), (defaults().workflow, defaults().task_channel));
        assert_eq!(routing.attributes["skill"], "billing");
    }

    /// Twilio's page on parking shows a UO SID where the conversation's should be.
    #[test]
    fn a_conversation_is_taken_only_from_what_has_its_form() {
        let conversation = |conversation: &str, media: &str| {
            let attributes = format!(
                r#"{{"flexInteractionSid":"KD00000000000000000000000000000001",
                     "flexInteractionChannelSid":"UO00000000000000000000000000000001",
                     "conversationSid":{conversation},"conversations":{{"media":{media}}}}}"#
            );
            let (news, _, facts) = task(&[("EventType", "task.canceled"), ("TaskAttributes", &attributes)]);
            facts.event(news, Timestamp::from_millis(1), &defaults()).unwrap().conversation.map(String::from)
        };
        let (uo, ch) = (r#""UO00000000000000000000000000000001""#, r#""CH00000000000000000000000000000002""#);
        assert_eq!(conversation(uo, "[]"), None);
        assert_eq!(conversation(uo, "7"), None);
        let found = Some("CH00000000000000000000000000000002".to_owned());
        assert_eq!(conversation(uo, &format!(r#"[{{"sid":{uo}}},{{"sid":{ch}}}]"#)), found);
        assert_eq!(conversation("null", &format!(r#"[{{"conversation_sid":{ch}}}]"#)), found);
    }

    #[test]
    fn other_events_are_no_errors_and_need_no_task() {
        let event = read(&[("EventType", "worker.activity.update")]).unwrap();
        assert!(matches!(event.news, TaskRouterNews::Other { .. }));
        assert_eq!(read(&[]).unwrap_err().names(), ["EventType"]);
        let other_task = ("TaskSid", "WT00000000000000000000000000000002");
        assert_eq!(read(&[("EventType", "task.canceled"), other_task]).unwrap_err().names(), ["TaskSid"]);
    }
}
