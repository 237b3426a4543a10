//! Those who take part in an Interaction channel: the customer, and agents with their tasks.

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::participants as conversation_participants;
use crate::flex::asked::{RoutingAsked, invalid};
use crate::flex::channels::{self, ChannelStatus};
use crate::flex::invites;
use crate::page::{Row, page};
use crate::parameters::{PAGING, Published};
use crate::taskrouter::tasks;
use crate::world::World;

/// Somebody in an Interaction channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// `UT…`
    pub sid: String,
    /// What they are there.
    pub kind: ParticipantKind,
    /// `WK…` of an agent.
    pub worker_sid: Option<String>,
    /// `WT…`, the task through which an agent came.
    pub task_sid: Option<String>,
    /// `WR…`, the reservation that the agent accepted.
    pub reservation_sid: Option<String>,
}

/// What somebody is in an Interaction channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "Twilio's words say all there is")]
pub enum ParticipantKind {
    Agent,
    Customer,
    Supervisor,
    External,
    Unknown,
}

impl ParticipantKind {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Agent, "agent"),
        (Self::Customer, "customer"),
        (Self::Supervisor, "supervisor"),
        (Self::External, "external"),
        (Self::Unknown, "unknown"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("unknown", |(_, name)| name)
    }
}

const CREATE: Published =
    Published { required: &["Type", "MediaProperties"], optional: &["RoutingProperties"], repeated: &[] };
const UPDATE: Published = Published { required: &["Status"], optional: &[], repeated: &[] };

impl Participant {
    fn json(&self, interaction_sid: &str, channel_sid: &str) -> Value {
        json!({
            "sid": self.sid,
            "type": self.kind.as_str(),
            "interaction_sid": interaction_sid,
            "channel_sid": channel_sid,
            "routing_properties": self.task_sid.as_ref().map(|task_sid| json!({
                "task_sid": task_sid,
                "worker_sid": self.worker_sid,
                "reservation_sid": self.reservation_sid,
            })),
            "url": format!(
                "https://flex-api.twilio.com/v1/Interactions/{interaction_sid}/Channels/{channel_sid}/Participants/{}",
                self.sid
            ),
        })
    }
}

pub(super) fn list(world: &World, call: &Call, kd: &str, uo: &str) -> Reply {
    PAGING.read(&call.query)?;
    let channel = &channels::find(world, call, kd, uo)?.channel;
    let rows = channel.participants.iter().map(|participant| participant.json(kd, uo));
    page(call, "participants", 50, 1000, Row::numbered(rows))
}

/// Adds somebody. With `RoutingProperties` they come through a task of their own.
pub(super) fn create(world: &mut World, call: &Call, kd: &str, uo: &str) -> Reply {
    let parameters = CREATE.read(&call.form)?;
    let names = ParticipantKind::ALL.map(|(_, name)| name);
    let asked = parameters.one_of("Type", &names)?;
    let kind = ParticipantKind::ALL
        .into_iter()
        .find(|(_, name)| Some(*name) == asked)
        .map_or(ParticipantKind::Unknown, |(kind, _)| kind);
    parameters.json("MediaProperties", usize::MAX)?;
    let routing = parameters.json("RoutingProperties", usize::MAX)?;
    let status = channels::find_mut(world, call, kd, uo)?.status;
    if status != ChannelStatus::Active {
        return Err(invalid(format!("Channel {uo} is {}", status.as_str())));
    }
    let task_sid = match routing {
        None => None,
        Some(properties) => {
            let routing = format!(r#"{{"properties":{properties}}}"#);
            let routing = RoutingAsked::read(world, &routing, false)?;
            invites::open(world, kd, routing).map(|invite| invite.task_sid)
        }
    };
    let sid = world.sids.draw("UT");
    let participant = Participant { sid, kind, worker_sid: None, task_sid, reservation_sid: None };
    let body = participant.json(kd, uo);
    channels::find_mut(world, call, kd, uo)?.participants.push(participant);
    Ok(Answer::ok(body))
}

/// `closed` lets an agent go and completes the task; the conversation stays as it is. That is how an
/// Interaction is parked.
pub(super) fn update(world: &mut World, call: &Call, kd: &str, uo: &str, ut: &str) -> Reply {
    let parameters = UPDATE.read(&call.form)?;
    let closes = parameters.one_of("Status", &["closed", "wrapup"])? == Some("closed");
    let channel = channels::find_mut(world, call, kd, uo)?;
    let participant = channel
        .participants
        .iter()
        .find(|participant| participant.sid == ut)
        .cloned()
        .ok_or_else(|| call.not_found())?;
    match participant.task_sid.as_deref() {
        Some(task_sid) if closes => part(world, task_sid),
        Some(task_sid) => tasks::wrap(world, task_sid),
        None if closes => channel.participants.retain(|other| other.sid != ut),
        None => return Err(Refusal::invalid("Only an agent can be in wrap-up")),
    }
    Ok(Answer::ok(participant.json(kd, uo)))
}

/// The agent leaves and the task is completed.
pub(crate) fn part(world: &mut World, task_sid: &str) {
    remove_agent(world, task_sid);
    tasks::complete(world, task_sid, "Participant closed");
}

/// Adds the agent who accepted a task to its channel and conversation.
pub(crate) fn add_agent(world: &mut World, task_sid: &str, worker_sid: &str, reservation_sid: &str) {
    let Some(interaction_sid) = world.tasks.get(task_sid).and_then(|task| task.interaction_sid.clone())
    else {
        return;
    };
    let sid = world.sids.draw("UT");
    let identity = identity_of(world, worker_sid);
    let Some(interaction) = world.interactions.get_mut(&interaction_sid) else { return };
    let participants = &mut interaction.channel.participants;
    let of_task = |participant: &&mut Participant| participant.task_sid.as_deref() == Some(task_sid);
    // Whoever was added over REST with a task of their own is there already.
    if let Some(awaited) = participants.iter_mut().find(of_task) {
        awaited.worker_sid = Some(worker_sid.to_owned());
        awaited.reservation_sid = Some(reservation_sid.to_owned());
    } else {
        participants.push(Participant {
            sid,
            kind: ParticipantKind::Agent,
            worker_sid: Some(worker_sid.to_owned()),
            task_sid: Some(task_sid.to_owned()),
            reservation_sid: Some(reservation_sid.to_owned()),
        });
    }
    let conversation_sid = interaction.channel.conversation_sid.clone();
    let absent = |identity: &String| {
        world
            .conversations
            .get(&conversation_sid)
            .is_some_and(|conversation| conversation.identity(identity).is_none())
    };
    if let Some(identity) = identity.filter(absent) {
        conversation_participants::add(world, &conversation_sid, Some(identity), None, None);
    }
}

/// Who came to the channel through a task.
pub(crate) fn of_task<'w>(world: &'w World, task_sid: &str) -> Option<&'w Participant> {
    let interaction_sid = world.tasks.get(task_sid)?.interaction_sid.as_ref()?;
    let participants = &world.interactions.get(interaction_sid)?.channel.participants;
    participants.iter().find(|participant| participant.task_sid.as_deref() == Some(task_sid))
}

/// Takes the agent of a task out of its channel, and out of its conversation unless they are there through
/// another task as well.
pub(crate) fn remove_agent(world: &mut World, task_sid: &str) {
    let Some(interaction) = world
        .tasks
        .get(task_sid)
        .and_then(|task| task.interaction_sid.as_ref())
        .and_then(|sid| world.interactions.get_mut(sid))
    else {
        return;
    };
    let conversation_sid = interaction.channel.conversation_sid.clone();
    let of_task = |participant: &mut Participant| participant.task_sid.as_deref() == Some(task_sid);
    let gone: Vec<Participant> = interaction.channel.participants.extract_if(.., of_task).collect();
    let mut workers: Vec<String> =
        gone.into_iter().filter_map(|participant| participant.worker_sid).collect();
    workers.retain(|gone| {
        let stays = |other: &Participant| other.worker_sid.as_ref() == Some(gone);
        !interaction.channel.participants.iter().any(stays)
    });
    for worker_sid in workers {
        if let Some(identity) = identity_of(world, &worker_sid) {
            conversation_participants::remove_identity(world, &conversation_sid, &identity);
        }
    }
}

/// The chat identity of a worker.
pub(crate) fn identity_of(world: &World, worker_sid: &str) -> Option<String> {
    world
        .settings
        .workers
        .iter()
        .find(|worker| worker.sid == worker_sid)
        .map(|worker| worker.identity.clone())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sim, code, text};

    #[test]
    fn a_closed_participant_parks_the_interaction() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        let path = format!("{}/Participants", engaged.channel);
        let (_, body) = sim.get(&path);
        let agent = body["participants"].as_array().expect("rows").iter().find(|row| row["type"] == "agent");
        let agent = agent.expect("an agent").clone();
        assert_eq!(agent["routing_properties"]["task_sid"], engaged.task.as_str());
        assert_eq!(agent["routing_properties"]["worker_sid"], sim.worker(0).as_str());
        let path_of_agent = format!("{path}/{}", text(&agent["sid"]));
        sim.events();
        assert_eq!(sim.post(&path_of_agent, &[("Status", "closed")]).0, 200);
        assert_eq!(sim.events(), ["task.completed"]);
        assert_eq!(
            (sim.state(&engaged.conversation), sim.task_status(&engaged.task)),
            ("active", "completed")
        );
        assert_eq!(sim.get(&engaged.channel).1["status"], "active");
        assert_eq!(sim.twilio.participants(&engaged.conversation).len(), 1);
        assert_eq!(sim.post(&path_of_agent, &[("Status", "closed")]).0, 404);
    }

    #[test]
    fn a_participant_in_wrap_up_leaves_the_task_wrapping() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        let agent = sim.twilio.interactions()[0].channel.participants[1].sid.clone();
        let path = format!("{}/Participants/{agent}", engaged.channel);
        assert_eq!(code(&sim.post(&path, &[("Status", "gone")])), 20001);
        assert_eq!(sim.post(&path, &[("Status", "wrapup")]).0, 200);
        assert_eq!(sim.task_status(&engaged.task), "wrapping");
    }

    #[test]
    fn an_added_participant_with_routing_has_a_task_of_its_own() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        let routing: serde_json::Value =
            serde_json::from_str(&sim.routing(&serde_json::json!({}))).expect("JSON");
        let form = [
            ("Type", "agent"),
            ("MediaProperties", "{}"),
            ("RoutingProperties", &routing["properties"].to_string()),
        ];
        let (status, body) = sim.post(&format!("{}/Participants", engaged.channel), &form);
        assert_eq!((status, &body["type"]), (200, &"agent".into()));
        let task = text(&body["routing_properties"]["task_sid"]);
        assert_eq!(sim.task_status(&task), "pending");
        sim.twilio.agent_accepts(&task, &sim.worker(0)).expect("waiting");
        sim.twilio.agent_writes(&task, "hello").expect("at work");
        let (_, list) = sim.get(&format!("{}/Participants", engaged.channel));
        let rows = list["participants"].as_array().expect("rows");
        assert_eq!((rows.len(), &rows[1]["sid"]), (2, &body["sid"]));
        assert_eq!(rows[1]["routing_properties"]["worker_sid"], sim.worker(0).as_str());
    }
}
