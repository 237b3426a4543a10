//! [Interactions](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interactions) and
//! what hangs on them: [channels](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interaction-channels),
//! [invites](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/invites-subresource),
//! [channel participants](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interaction-channel-participants).

use serde::Deserialize;
use serde_json::Value;

use super::{Call, CallError, Page, Twilio, messages::AnyAnswer, page::RawPage};
use crate::{
    clock::Deadline,
    personal::Personal,
    sid::{InteractionChannelSid, InteractionParticipantSid, InteractionSid, InviteSid, TaskSid, WorkerSid},
};

/// What an Interaction is made from.
#[derive(Clone, Debug)]
pub struct NewInteraction {
    /// The `Channel` parameter, JSON.
    pub channel: Personal<Value>,
    /// The `Routing` parameter, JSON.
    pub routing: Personal<Value>,
}

/// What Twilio answers to a new Interaction. It is accepted, not yet there: the channel is set up after the
/// answer, and may fail. Only the SID is relied on; the rest is what Twilio shows in examples.
#[derive(Clone, Debug, Deserialize)]
pub struct InteractionResource {
    /// Its SID.
    pub sid: InteractionSid,
    #[serde(default)]
    channel: Option<SidOnly<InteractionChannelSid>>,
    #[serde(default)]
    routing: Option<RoutingAnswer>,
}

#[derive(Clone, Debug, Deserialize)]
struct SidOnly<T> {
    #[serde(default = "Option::default")]
    sid: Option<T>,
}

#[derive(Clone, Debug, Deserialize)]
struct RoutingAnswer {
    #[serde(default)]
    properties: Option<SidOnly<TaskSid>>,
}

impl InteractionResource {
    /// Its channel, where the answer names it.
    #[must_use]
    pub fn channel_sid(&self) -> Option<&InteractionChannelSid> {
        self.channel.as_ref()?.sid.as_ref()
    }

    /// Its task, where the answer names it.
    #[must_use]
    pub fn task_sid(&self) -> Option<&TaskSid> {
        self.routing.as_ref()?.properties.as_ref()?.sid.as_ref()
    }
}

/// Where the channel of an Interaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelStatus {
    /// Being set up.
    #[serde(alias = "setup")]
    SetUp,
    /// It stands.
    Active,
    /// It never came up.
    Failed,
    /// Over.
    Closed,
    /// Asleep; its tasks are done.
    Inactive,
    /// Paused.
    Pause,
    /// Being handed over.
    Transfer,
    /// A status that Twilio has added since.
    #[serde(other)]
    Unheard,
}

impl ChannelStatus {
    /// Whether a channel of this status serves its conversation, or may.
    #[must_use]
    pub const fn lives(self) -> bool {
        !matches!(self, Self::Failed | Self::Closed)
    }
}

/// The channel of an Interaction as Twilio knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct ChannelResource {
    /// Its SID.
    pub sid: InteractionChannelSid,
    /// Where it stands.
    pub status: ChannelStatus,
    /// Why it failed, where it did.
    #[serde(default)]
    pub error_code: Option<u32>,
}

/// An invite: Flex's way to bring an agent into an Interaction.
#[derive(Clone, Debug, Deserialize)]
pub struct InviteResource {
    /// Its SID.
    pub sid: InviteSid,
    #[serde(default)]
    routing: Option<RoutingAnswer>,
}

impl InviteResource {
    /// The task that the invite made, where the answer names it.
    #[must_use]
    pub fn task_sid(&self) -> Option<&TaskSid> {
        self.routing.as_ref()?.properties.as_ref()?.sid.as_ref()
    }
}

/// Somebody in the channel of an Interaction.
#[derive(Clone, Debug, Deserialize)]
pub struct ChannelParticipantResource {
    /// Its SID.
    pub sid: InteractionParticipantSid,
    /// `agent`, `customer`, `supervisor`, `external`, `unknown`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    routing_properties: Option<RoutingProperties>,
}

#[derive(Clone, Debug, Deserialize)]
struct RoutingProperties {
    #[serde(default)]
    task_sid: Option<TaskSid>,
    #[serde(default)]
    worker_sid: Option<WorkerSid>,
}

impl ChannelParticipantResource {
    /// The task through which an agent came, where Twilio names it.
    #[must_use]
    pub fn task_sid(&self) -> Option<&TaskSid> {
        self.routing_properties.as_ref()?.task_sid.as_ref()
    }

    /// The worker that an agent is, where Twilio names it.
    #[must_use]
    pub fn worker_sid(&self) -> Option<&WorkerSid> {
        self.routing_properties.as_ref()?.worker_sid.as_ref()
    }
}

/// What becomes of a channel's tasks when it is closed
/// ([channels](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interaction-channels)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndOfTasks {
    /// They are over.
    Completed,
    /// Their agents wrap up, as after every conversation.
    WrapUp,
}

impl Twilio {
    /// Asks for an Interaction, once: where the outcome is unknown it is not asked for again.
    pub async fn create_interaction(
        &self,
        new: &NewInteraction,
        deadline: Deadline,
    ) -> Result<InteractionResource, CallError> {
        let fields = vec![("Channel", new.channel.0.to_string()), ("Routing", new.routing.0.to_string())];
        self.send(Call::post(&self.bases.flex, "/v1/Interactions".to_owned(), fields), deadline).await
    }

    /// The channels of an Interaction.
    pub async fn interaction_channels(
        &self,
        interaction: &InteractionSid,
        deadline: Deadline,
    ) -> Result<Page<ChannelResource>, CallError> {
        let path = format!("/v1/Interactions/{interaction}/Channels");
        self.send::<RawPage>(Call::get(&self.bases.flex, path, Vec::new()), deadline).await?.read("channels")
    }

    /// One channel, or `None` where it is gone: Twilio deletes them after 180 days without activity.
    pub async fn interaction_channel(
        &self,
        interaction: &InteractionSid,
        channel: &InteractionChannelSid,
        deadline: Deadline,
    ) -> Result<Option<ChannelResource>, CallError> {
        let path = format!("/v1/Interactions/{interaction}/Channels/{channel}");
        match self.send(Call::get(&self.bases.flex, path, Vec::new()), deadline).await {
            Ok(channel) => Ok(Some(channel)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes a channel with its conversation. Gone or closed already counts as closed.
    pub async fn close_interaction_channel(
        &self,
        interaction: &InteractionSid,
        channel: &InteractionChannelSid,
        tasks: EndOfTasks,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        /// "Interaction channel is already closed".
        const ALREADY_CLOSED: u32 = 80906;
        let mut fields = vec![("Status", "closed".to_owned())];
        if tasks == EndOfTasks::Completed {
            fields.push(("Routing", r#"{"status":"closed"}"#.to_owned()));
        }
        let path = format!("/v1/Interactions/{interaction}/Channels/{channel}");
        match self.send(Call::post(&self.bases.flex, path, fields), deadline).await {
            Ok(AnyAnswer {}) => Ok(()),
            Err(error) if error.is_not_found() || error.has_code(ALREADY_CLOSED) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Who is in a channel.
    pub async fn interaction_participants(
        &self,
        interaction: &InteractionSid,
        channel: &InteractionChannelSid,
        deadline: Deadline,
    ) -> Result<Page<ChannelParticipantResource>, CallError> {
        let path = format!("/v1/Interactions/{interaction}/Channels/{channel}/Participants");
        self.send::<RawPage>(Call::get(&self.bases.flex, path, Vec::new()), deadline)
            .await?
            .read("participants")
    }

    /// The invites of a channel.
    pub async fn invites(
        &self,
        interaction: &InteractionSid,
        channel: &InteractionChannelSid,
        deadline: Deadline,
    ) -> Result<Page<InviteResource>, CallError> {
        let path = format!("/v1/Interactions/{interaction}/Channels/{channel}/Invites");
        self.send::<RawPage>(Call::get(&self.bases.flex, path, Vec::new()), deadline).await?.read("invites")
    }

    /// Invites an agent into a channel, once: where the outcome is unknown it is not asked for again.
    pub async fn create_invite(
        &self,
        interaction: &InteractionSid,
        channel: &InteractionChannelSid,
        routing: &Personal<Value>,
        deadline: Deadline,
    ) -> Result<InviteResource, CallError> {
        let call = Call::post(
            &self.bases.flex,
            format!("/v1/Interactions/{interaction}/Channels/{channel}/Invites"),
            vec![("Routing", routing.0.to_string())],
        );
        self.send(call, deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sid_of_a_new_interaction_is_needed() {
        let whole: InteractionResource = serde_json::from_str(
            r#"{"sid":"KD00000000000000000000000000000001","channel":{"type":"sms","sid":"UO00000000000000000000000000000001"},
                "routing":{"reservation":null,"properties":{"sid":"WT00000000000000000000000000000001","attributes":"{}"}},
                "url":"//https://flex-api.twilio.com//v1/Interactions/KD","links":{"channels":"x"}}"#,
        )
        .unwrap();
        assert!(whole.channel_sid().is_some() && whole.task_sid().is_some());
        for bare in [
            r#"{"sid":"KD00000000000000000000000000000001"}"#,
            r#"{"sid":"KD00000000000000000000000000000001","channel":{},"routing":{"properties":null}}"#,
            r#"{"sid":"KD00000000000000000000000000000001","channel":null,"routing":{}}"#,
        ] {
            let bare: InteractionResource = serde_json::from_str(bare).unwrap();
            assert!(bare.channel_sid().is_none() && bare.task_sid().is_none());
        }
    }

    #[test]
    fn a_channel_status_never_heard_of_is_not_an_error() {
        let channel: ChannelResource = serde_json::from_str(
            r#"{"sid":"UO00000000000000000000000000000001","status":"hibernating","error_code":null}"#,
        )
        .unwrap();
        assert_eq!(channel.status, ChannelStatus::Unheard);
        let channel: ChannelResource =
            serde_json::from_str(r#"{"sid":"UO00000000000000000000000000000001","status":"setup"}"#).unwrap();
        assert_eq!(channel.status, ChannelStatus::SetUp);
    }
}
