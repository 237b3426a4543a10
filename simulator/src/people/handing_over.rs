//! How agents come after the first: invited, by a transfer, or because a customer is back.

use crate::answer::Refusal;
use crate::flex::participants::{self, identity_of};
use crate::flex::transfers::{Transfer, TransferStatus};
use crate::flex::{channels, invites};
use crate::people::at_work;
use crate::taskrouter::events;
use crate::twilio::Twilio;
use crate::world::World;

impl Twilio {
    /// The agent at work on a task invites another: a worker (`WK…`), or whom the workflow finds. Gives the
    /// `WT…` of the task that is opened for them, with the attributes of the first.
    ///
    /// Refused with 404 if there is no such worker, and with 400 if nobody is at work on the task or it is
    /// they themselves who are invited.
    pub fn agent_invites(&self, task: &str, to: Option<&str>) -> Result<String, Refusal> {
        let world = &mut *self.world();
        let interaction_sid = inviting(world, task, to)?;
        invite(world, &interaction_sid, task, to)
    }

    /// The agent at work on a task transfers the conversation, with an invite as in
    /// [`agent_invites`](Self::agent_invites), whose `WT…` it gives.
    ///
    /// When the invited agent accepts, the first one leaves and their task is completed, unless the transfer
    /// is `warm`: then both stay. When nobody comes the first one stays. Refused with 400 while another
    /// transfer of the task is under way.
    pub fn agent_transfers(&self, task: &str, to: Option<&str>, warm: bool) -> Result<String, Refusal> {
        let world = &mut *self.world();
        let interaction_sid = inviting(world, task, to)?;
        let under_way = world.interactions.get(&interaction_sid).is_some_and(|interaction| {
            let of_task =
                |transfer: &Transfer| transfer.from_task == task && transfer.status == TransferStatus::Active;
            interaction.channel.transfers.iter().any(of_task)
        });
        if under_way {
            return Err(Refusal::new(400, 20001, format!("Task {task} is already in a transfer")));
        }
        let to_task = invite(world, &interaction_sid, task, to)?;
        let transfer = Transfer {
            sid: world.sids.draw("UX"),
            warm,
            status: TransferStatus::Active,
            from: participants::of_task(world, task).map(|agent| agent.sid.clone()).unwrap_or_default(),
            to: None,
            from_task: task.to_owned(),
            to_task: to_task.clone(),
            created_ms: world.now,
            updated_ms: world.now,
        };
        if let Some(interaction) = world.interactions.get_mut(&interaction_sid) {
            interaction.channel.transfers.push(transfer);
        }
        events::task(world, "task.transfer-initiated", task);
        Ok(to_task)
    }

    /// The customer of a parked Interaction (`KD…`) is back, and the park plugin invites an agent through the
    /// main workflow, with the attributes of the last task. Gives the `WT…` of the task.
    ///
    /// Refused with 404 if there is no such Interaction or its channel was deleted, and with 400 unless the
    /// channel is active and without an agent.
    pub fn plugin_unparks(&self, interaction: &str) -> Result<String, Refusal> {
        let world = &mut *self.world();
        let found = world
            .interactions
            .get(interaction)
            .filter(|found| !channels::is_deleted(world, found))
            .ok_or_else(|| Refusal::not_found(&format!("/v1/Interactions/{interaction}")))?;
        let attended = found.channel.participants.iter().any(|participant| participant.worker_sid.is_some());
        if found.channel.status != channels::ChannelStatus::Active || attended {
            return Err(Refusal::new(400, 20001, format!("Interaction {interaction} is not parked")));
        }
        let last = found.channel.invites.last().map(|invite| invite.task_sid.clone()).unwrap_or_default();
        invite(world, interaction, &last, None)
    }
}

/// The Interaction of the task, whose agent may invite `to`.
fn inviting(world: &World, task: &str, to: Option<&str>) -> Result<String, Refusal> {
    let (interaction_sid, worker_sid) = at_work(world, task)?;
    if let Some(to) = to {
        identity_of(world, to).ok_or_else(|| Refusal::not_found(&format!("/v1/Workers/{to}")))?;
        if to == worker_sid {
            return Err(Refusal::new(400, 20001, format!("Worker {to} is at work on task {task} already")));
        }
    }
    Ok(interaction_sid)
}

/// Invites somebody through the main workflow, as the invite of another task did.
fn invite(world: &mut World, interaction_sid: &str, task: &str, to: Option<&str>) -> Result<String, Refusal> {
    let mut routing = world
        .interactions
        .get(interaction_sid)
        .and_then(|found| found.channel.invites.iter().find(|invite| invite.task_sid == task))
        .map(|invite| invite.routing.clone())
        .ok_or_else(|| Refusal::not_found(&format!("/v1/Tasks/{task}")))?;
    // They may have been changed since; of a task that is forgotten only those of its invite are known.
    if let Some(task) = world.tasks.get(task) {
        routing.attributes.clone_from(&task.attributes);
    }
    routing.workflow_sid.clone_from(&world.settings.workflow_sid);
    routing.worker_sid = to.map(str::to_owned);
    invites::invite(world, interaction_sid, routing).map(|invite| invite.task_sid)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::testing::{Engaged, Sim, text};

    /// The identities of the agents in the conversation.
    fn agents(sim: &Sim, engaged: &Engaged) -> Vec<String> {
        let people = sim.twilio.participants(&engaged.conversation);
        people.into_iter().filter_map(|participant| participant.identity).collect()
    }

    fn names(sim: &Sim) -> Vec<String> {
        sim.twilio.settings().workers.into_iter().map(|worker| worker.identity).collect()
    }

    fn transfer(sim: &Sim, engaged: &Engaged) -> Value {
        let (_, body) = sim.get(&format!("{}/Transfers", engaged.channel));
        let listed = body["transfers"][0].clone();
        let path = format!("{}/Transfers/{}", engaged.channel, text(&listed["sid"]));
        assert_eq!(sim.get(&path), (200, listed.clone()));
        assert_eq!(sim.get(&engaged.channel).1["status"], "active");
        listed
    }

    #[test]
    fn an_invited_agent_joins_the_first() {
        let (sim, engaged) = Sim::attended();
        sim.twilio.agent_writes(&engaged.task, "a moment").expect("at work");
        let task = sim.twilio.agent_invites(&engaged.task, Some(&sim.worker(1))).expect("at work");
        let opened = sim.twilio.task(&task).expect("open");
        assert_eq!((opened.routing_target, opened.by_invite), (Some(sim.worker(1)), true));
        assert_eq!(opened.attributes["team"], "blue");
        sim.twilio.agent_accepts(&task, &sim.worker(1)).expect("invited");
        assert_eq!(agents(&sim, &engaged), names(&sim));
        sim.twilio.agent_leaves(&engaged.task).expect("at work");
        assert_eq!(agents(&sim, &engaged), names(&sim)[1..]);
        sim.twilio.agent_ends_chat(&task).expect("at work");
        assert_eq!((sim.state(&engaged.conversation), sim.task_status(&task)), ("closed", "wrapping"));
    }

    #[test]
    fn the_workflow_may_be_invited_but_neither_oneself_nor_a_stranger() {
        let (sim, engaged) = Sim::attended();
        let task = sim.twilio.agent_invites(&engaged.task, None).expect("at work");
        assert_eq!(sim.twilio.task(&task).expect("open").routing_target, None);
        assert!(sim.twilio.agent_invites(&engaged.task, Some(&sim.worker(0))).is_err());
        let stranger = sim.twilio.agent_invites(&engaged.task, Some("WK1"));
        assert_eq!(stranger.map_err(|refusal| refusal.status), Err(404));
        assert!(sim.twilio.agent_invites(&task, None).is_err());
    }

    #[test]
    fn a_cold_transfer_lets_the_first_agent_go_when_the_other_comes() {
        let (sim, engaged) = Sim::attended();
        let task = sim.twilio.agent_transfers(&engaged.task, None, false).expect("at work");
        assert!(sim.twilio.agent_transfers(&engaged.task, None, false).is_err());
        let begun = transfer(&sim, &engaged);
        let first = sim.twilio.interactions()[0].channel.participants[1].sid.clone();
        assert_eq!((&begun["type"], &begun["status"]), (&"cold".into(), &"active".into()));
        assert_eq!((&begun["from"], &begun["to"]), (&first.into(), &Value::Null));
        assert_eq!(sim.events(), ["task.created", "task.transfer-initiated"]);
        sim.twilio.agent_accepts(&task, &sim.worker(1)).expect("invited");
        let expected =
            ["reservation.created", "reservation.accepted", "task.transfer-completed", "task.completed"];
        let webhooks = sim.webhooks();
        assert_eq!(webhooks.iter().map(|webhook| &*webhook.event_type).collect::<Vec<_>>(), expected);
        assert!(webhooks[2..].iter().all(|webhook| webhook.param("TaskSid") == Some(&engaged.task)));
        let ended = transfer(&sim, &engaged);
        let second = sim.twilio.interactions()[0].channel.participants[1].sid.clone();
        assert_eq!((&ended["status"], &ended["to"]), (&"completed".into(), &second.into()));
        assert_eq!((agents(&sim, &engaged), sim.task_status(&task)), (names(&sim)[1..].to_vec(), "assigned"));
        assert_eq!(sim.state(&engaged.conversation), "active");
    }

    #[test]
    fn a_warm_transfer_leaves_both() {
        let (sim, engaged) = Sim::attended();
        let task = sim.twilio.agent_transfers(&engaged.task, Some(&sim.worker(1)), true).expect("at work");
        sim.twilio.agent_accepts(&task, &sim.worker(1)).expect("invited");
        let ended = transfer(&sim, &engaged);
        assert_eq!((&ended["type"], &ended["status"]), (&"warm".into(), &"completed".into()));
        assert_eq!((agents(&sim, &engaged), sim.task_status(&engaged.task)), (names(&sim), "assigned"));
    }

    #[test]
    fn a_transfer_to_nobody_leaves_the_first_agent() {
        let (sim, engaged) = Sim::attended();
        let transfer_to = |to: Option<&str>| sim.twilio.agent_transfers(&engaged.task, to, false);
        let declined = transfer_to(Some(&sim.worker(1))).expect("at work");
        sim.twilio.agent_rejects(&declined, &sim.worker(1)).expect("offered");
        assert_eq!(sim.events().last().map(String::as_str), Some("task.transfer-failed"));
        assert_eq!(transfer(&sim, &engaged)["status"], "failed");
        let withdrawn = transfer_to(None).expect("the first one is over");
        let workspace = sim.twilio.settings().workspace_sid;
        let path = format!("/v1/Workspaces/{workspace}/Tasks/{withdrawn}");
        assert_eq!(sim.post(&path, &[("AssignmentStatus", "canceled")]).0, 200);
        assert_eq!(sim.events()[2..], ["task.transfer-canceled", "task.canceled"]);
        let deleted = transfer_to(None).expect("the second one is over");
        sim.twilio.task_is_deleted(&deleted).expect("there");
        assert_eq!(sim.events()[2..], ["task.transfer-canceled", "task.deleted"]);
        assert_eq!(
            (agents(&sim, &engaged), sim.task_status(&engaged.task)),
            (names(&sim)[..1].to_vec(), "assigned")
        );
        let last = transfer_to(None).expect("the third one is over");
        sim.events();
        sim.twilio.agent_ends_chat(&engaged.task).expect("at work");
        assert_eq!(sim.events(), ["task.wrapup", "task.transfer-canceled", "task.canceled"]);
        assert_eq!(sim.task_status(&last), "canceled");
    }

    #[test]
    fn an_agent_who_takes_their_own_transfer_stays() {
        let (sim, engaged) = Sim::attended();
        let task = sim.twilio.agent_transfers(&engaged.task, None, false).expect("at work");
        sim.twilio.agent_accepts(&task, &sim.worker(0)).expect("waiting");
        assert_eq!(
            (agents(&sim, &engaged), sim.task_status(&engaged.task)),
            (names(&sim)[..1].to_vec(), "completed")
        );
        sim.twilio.agent_writes(&task, "still me").expect("at work");
    }

    #[test]
    fn a_parked_interaction_is_unparked_through_the_workflow() {
        let (sim, engaged) = Sim::attended();
        let interaction = sim.twilio.interactions()[0].sid.clone();
        assert!(sim.twilio.plugin_unparks(&interaction).is_err());
        sim.twilio.agent_parks(&engaged.task).expect("at work");
        sim.clock.advance(3_600_000);
        assert_eq!(sim.task_status(&engaged.task), "gone");
        let task = sim.twilio.plugin_unparks(&interaction).expect("parked");
        let opened = sim.twilio.task(&task).expect("open");
        assert_eq!(opened.workflow_sid, sim.twilio.settings().workflow_sid);
        assert_eq!(opened.attributes["team"], "blue");
        sim.twilio.agent_accepts(&task, &sim.worker(1)).expect("waiting");
        sim.twilio.agent_parks(&task).expect("at work");
        sim.clock.advance(181 * 24 * 3_600_000);
        let gone = sim.twilio.plugin_unparks(&interaction);
        assert_eq!(gone.map_err(|refusal| refusal.status), Err(404));
    }
}
