//! Asks Twilio how a conversation stands: whatever [`judge`] wants to know, one question at a time.

use super::Rescuer;
use crate::{
    clock::{Deadline, Timestamp},
    conversation::{
        Conversation, Finding, Interaction, Picture, TaskEnd, TaskNews, Terminal, pace,
        picture::{Channel, Judgement, Question, SeenTask, judge},
    },
    opening::first_of_customer,
    safeguard::Safeguard,
    sid::{InteractionChannelSid, TaskSid},
    twilio::{
        CallError, ChannelResource, ChannelStatus, ConversationState, Doubt, EVENTS_KEPT, EventQuery,
        EventResource, FlexTask, Page, TaskResource, TaskStanding,
    },
};

/// More questions than any conversation needs: a fault in the judgement must not ask Twilio for ever.
const MOST_QUESTIONS: usize = 60;

impl Rescuer {
    /// How the conversation of a record stands.
    pub(super) async fn look(
        &self,
        record: &Conversation,
        deadline: Deadline,
    ) -> Result<(Finding, Picture), CallError> {
        let mut picture = Picture { reinvites: record.heard_of_reinvite, ..Picture::default() };
        for _ in 0..MOST_QUESTIONS {
            match judge(record, &picture, self.opener.clock.now()) {
                Judgement::Is(finding) => {
                    if !Safeguard::LookForReinvite.is_on() {
                        picture.reinvites = 0;
                    }
                    return Ok((finding, picture));
                }
                Judgement::Ask(question) => self.ask(record, &question, &mut picture, deadline).await?,
            }
        }
        Err(Doubt::Unreadable.into())
    }

    async fn ask(
        &self,
        record: &Conversation,
        question: &Question,
        picture: &mut Picture,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let twilio = &self.opener.twilio;
        let workspace = &self.opener.defaults.workspace;
        match question {
            Question::Conversation => {
                let conversation = twilio.conversation(&record.sid, deadline).await?;
                picture.over = Some(
                    conversation.is_none_or(|conversation| conversation.state == ConversationState::Closed),
                );
            }
            Question::Channel => {
                picture.channel = Some(match &record.interaction {
                    Some(interaction) => self.channel(interaction, deadline).await?,
                    None => Channel::Gone,
                });
            }
            Question::Agents => {
                let mut agents = Vec::new();
                if let Some((interaction, channel)) = known_channel(record) {
                    let participants =
                        twilio.interaction_participants(&interaction.sid, channel, deadline).await?;
                    for participant in participants.items {
                        if participant.kind == "agent" {
                            agents.push(participant.task_sid().cloned());
                        }
                    }
                }
                picture.agents = Some(agents);
            }
            Question::Task(task) => {
                let seen = match twilio.task(workspace, task, deadline).await? {
                    Some(task) => self.seen(&task, picture),
                    None => SeenTask::Gone,
                };
                picture.tasks.insert(task.clone(), seen);
            }
            Question::Tasks => {
                let tasks = twilio.tasks_of_conversation(workspace, &record.sid, deadline).await?;
                for task in &tasks {
                    let seen = self.seen(task, picture);
                    picture.tasks.insert(task.sid.clone(), seen);
                }
                picture.other = self.other(record, &tasks, deadline).await?;
                picture.asked_for_tasks = true;
            }
            Question::Invites => {
                let mut tasks = Vec::new();
                if let Some((interaction, channel)) = known_channel(record) {
                    let invites = twilio.invites(&interaction.sid, channel, deadline).await;
                    let invites = unless_refused(invites, "the channel's invites")?;
                    picture.hides_invites = invites.is_none();
                    tasks.extend(invites.iter().flatten().filter_map(|invite| invite.task_sid().cloned()));
                }
                picture.invited = Some(tasks);
            }
            Question::Created => {
                let tasks = self.created_since_last_end(record, deadline).await?;
                picture.invited.get_or_insert_default().extend(tasks);
                picture.asked_for_created = true;
            }
            Question::EndOf(task) => {
                let since = self.opener.clock.now() - EVENTS_KEPT;
                let query = EventQuery::OfTask(task);
                let events = twilio.events(workspace, &query, since, None, deadline).await;
                let events = unless_refused(events, "TaskRouter's log")?.unwrap_or_default();
                for event in &events {
                    picture.reinvites = picture.reinvites.max(reinvite_of(event, task));
                }
                picture.ends.insert(task.clone(), end_among(&events, task));
            }
            Question::Messages => {
                let messages = twilio.newest_messages(&record.sid, deadline).await;
                let messages = unless_refused(messages, "the messages")?.unwrap_or_default();
                let contact = record.contact.as_ref();
                picture.customer_wrote = Some(first_of_customer(messages, contact).is_some());
            }
        }
        Ok(())
    }

    /// The channel of an Interaction; where the answer to its creation did not name it, the only one it has.
    async fn channel(&self, interaction: &Interaction, deadline: Deadline) -> Result<Channel, CallError> {
        let twilio = &self.opener.twilio;
        let channel = match &interaction.channel {
            Some(channel) => twilio.interaction_channel(&interaction.sid, channel, deadline).await?,
            None => match twilio.interaction_channels(&interaction.sid, deadline).await {
                Ok(channels) => channels.items.into_iter().next(),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            },
        };
        let Some(ChannelResource { status, error_code, .. }) = channel else {
            // A new one may not be there yet.
            let young = !Conversation::is_long_since(interaction.since, self.opener.clock.now());
            return Ok(if young { Channel::SettingUp } else { Channel::Gone });
        };
        Ok(match status {
            ChannelStatus::SetUp => Channel::SettingUp,
            ChannelStatus::Active => Channel::Active,
            ChannelStatus::Failed => Channel::Failed(error_code),
            ChannelStatus::Closed => Channel::Closed,
            ChannelStatus::Inactive
            | ChannelStatus::Pause
            | ChannelStatus::Transfer
            | ChannelStatus::Unheard => Channel::Resting,
        })
    }

    /// The tasks of the record's Interaction since the last end that is known, as TaskRouter's log tells, the
    /// newest last.
    async fn created_since_last_end(
        &self,
        record: &Conversation,
        deadline: Deadline,
    ) -> Result<Vec<TaskSid>, CallError> {
        let Some(interaction) = &record.interaction else { return Ok(Vec::new()) };
        let since = record.last_end.as_ref().map_or(interaction.since, |end| end.at) - pace::CLOCKS_DIFFER;
        let created = self.opener.tasks_in_log(&record.sid, since, self.opener.clock.now(), deadline).await?;
        let of_this = created.into_iter().rev().filter(|task| task.interaction == interaction.sid);
        Ok(of_this.map(|task| task.task).collect())
    }

    fn seen(&self, task: &TaskResource, picture: &mut Picture) -> SeenTask {
        if let Some(FlexTask { reinvite, .. }) = task.flex() {
            picture.reinvites = picture.reinvites.max(reinvite);
        }
        let event = match task.standing() {
            TaskStanding::Live => return SeenTask::Live,
            TaskStanding::Completed => None,
            TaskStanding::Canceled => Some(Terminal::TaskCanceled),
        };
        let at = task.updated_at().unwrap_or_else(|| self.opener.clock.now());
        SeenTask::Ended(TaskEnd { task: Some(task.sid.clone()), event, at, handled: false })
    }

    /// A living Interaction that the record does not know, as the tasks tell, or the log of what others asked for.
    async fn other(
        &self,
        record: &Conversation,
        tasks: &[TaskResource],
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        let unknown = tasks.iter().filter_map(TaskResource::flex);
        let unknown = unknown.filter(|task| !record.knows(&task.interaction));
        let living = self.opener.first_living(unknown, deadline).await?;
        if living.is_some() {
            return Ok(living);
        }
        self.opener.find_asked_for(record, record.asking_until, deadline).await
    }
}

/// What a list holds; `None` where Twilio refuses it for good. That tells nothing, and must not keep anybody from being
/// looked after, as the other questions decide as well.
fn unless_refused<T>(page: Result<Page<T>, CallError>, what: &str) -> Result<Option<Vec<T>>, CallError> {
    match page {
        Ok(page) => Ok(Some(page.items)),
        Err(error) if error.is_temporary() => Err(error),
        Err(error) => {
            tracing::warn!(%error, what, "Twilio does not show it");
            Ok(None)
        }
    }
}

fn known_channel(record: &Conversation) -> Option<(&Interaction, &InteractionChannelSid)> {
    let interaction = record.interaction.as_ref()?;
    Some((interaction, interaction.channel.as_ref()?))
}

/// How a task ended, as its events tell. `workflow.timeout` and `task.canceled` both stand there for one end;
/// the one that says more counts.
fn end_among(events: &[EventResource], task: &TaskSid) -> Option<TaskEnd> {
    let ends = events.iter().filter(|event| event.task().as_ref() == Some(task)).filter_map(|event| {
        let at: Timestamp = event.at()?;
        let terminal = match TaskNews::named(&event.event_type)? {
            TaskNews::Completed => None,
            TaskNews::Ended(terminal) => Some(terminal),
            TaskNews::Created | TaskNews::Accepted => return None,
        };
        Some(TaskEnd { task: Some(task.clone()), event: terminal, at, handled: false })
    });
    ends.min_by_key(|end| (end.event == Some(Terminal::TaskCanceled), end.at))
}

fn reinvite_of(event: &EventResource, task: &TaskSid) -> u32 {
    let resource = || {
        let attributes = event.event_data.task_attributes.clone();
        TaskResource::with_attributes(task.clone(), attributes).flex().map(|task| task.reinvite)
    };
    resource().unwrap_or_default()
}
