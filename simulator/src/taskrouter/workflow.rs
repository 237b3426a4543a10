//! The way of a task through its workflow, until somebody takes it or the workflow gives up.
//! See <https://www.twilio.com/docs/taskrouter/workflow-configuration>.

use crate::agenda::Effect;
use crate::settings::Settings;
use crate::taskrouter::{events, tasks};
use crate::world::World;

/// Begins the way of a task that was just opened. Events tell of it only where there are steps.
pub(super) fn enter(world: &mut World, task_sid: &str) {
    let Some(workflow_sid) = world.tasks.get(task_sid).map(|task| task.workflow_sid.clone()) else { return };
    let timeout_s = if workflow_sid == world.settings.fallback_workflow_sid {
        world.settings.fallback_workflow_timeout_s
    } else if let Some(timeout_ms) = step_ms(&world.settings, 0) {
        events::task(world, "workflow.entered", task_sid);
        world.plan_in(timeout_ms, Effect::StepTimeout(task_sid.to_owned()));
        return;
    } else {
        world.settings.workflow_timeout_s
    };
    if let Some(seconds) = timeout_s {
        world.plan_in(seconds.saturating_mul(1000), Effect::WorkflowTimeout(task_sid.to_owned()));
    }
}

/// How many milliseconds a task stays in a step, if there is such a step.
fn step_ms(settings: &Settings, number: usize) -> Option<u64> {
    settings.workflow_steps.get(number).map(|step| step.timeout_s.saturating_mul(1000))
}

/// A task that nobody accepted goes on to the next step, or the workflow gives up.
pub(crate) fn step_timeout(world: &mut World, task_sid: &str) {
    if !tasks::is_waiting(world, task_sid) {
        return;
    }
    let Some(task) = world.tasks.get_mut(task_sid) else { return };
    task.step += 1;
    let next = task.step;
    match step_ms(&world.settings, next) {
        Some(timeout_ms) => {
            events::task(world, "task-queue.timeout", task_sid);
            events::task(world, "task-queue.entered", task_sid);
            world.plan_in(timeout_ms, Effect::StepTimeout(task_sid.to_owned()));
        }
        None if world.settings.workflow_skips_last_step => {
            events::task(world, "workflow.skipped", task_sid);
            tasks::cancel(world, task_sid, "Task canceled on Workflow: its last step was skipped");
        }
        None => timeout(world, task_sid),
    }
}

/// The workflow came to its end without a worker. Both events are sent for the one task.
pub(crate) fn timeout(world: &mut World, task_sid: &str) {
    if tasks::is_waiting(world, task_sid) {
        events::task(world, "workflow.timeout", task_sid);
        tasks::cancel(world, task_sid, "Task canceled on Workflow timeout");
    }
}

#[cfg(test)]
mod tests {
    use crate::WorkflowStep;
    use crate::testing::{Engaged, Sim};

    const WORKFLOW_GIVES_UP: [&str; 2] = ["workflow.timeout", "task.canceled"];
    const NEXT_STEP: [&str; 2] = ["task-queue.timeout", "task-queue.entered"];

    /// A customer whose task goes through steps of 30 and 60 seconds, not counting the set-up of 200 ms.
    fn in_steps(skips_last: bool) -> (Sim, Engaged) {
        let sim = Sim::with(|settings| {
            settings.workflow_steps = [30, 60].map(|timeout_s| WorkflowStep { timeout_s }).into();
            settings.workflow_skips_last_step = skips_last;
            settings.workflow_timeout_s = Some(1);
        });
        let engaged = sim.engaged();
        (sim, engaged)
    }

    #[test]
    fn a_workflow_that_gives_up_sends_two_events_for_one_task() {
        let sim = Sim::with(|settings| settings.workflow_timeout_s = Some(60));
        let engaged = sim.engaged();
        sim.clock.advance(59_000);
        assert!(sim.events().is_empty());
        sim.clock.advance(1_000);
        assert_eq!(sim.events(), ["workflow.timeout", "task.canceled"]);
        assert_eq!(sim.task_status(&engaged.task), "canceled");
        assert_eq!(sim.state(&engaged.conversation), "active");
    }

    #[test]
    fn a_workflow_does_not_give_up_on_a_task_that_was_accepted() {
        let sim = Sim::with(|settings| settings.workflow_timeout_s = Some(60));
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.clock.advance(60_000);
        assert_eq!(sim.task_status(&engaged.task), "assigned");
    }

    #[test]
    fn a_task_goes_through_the_steps_of_its_workflow() {
        let (sim, engaged) = in_steps(false);
        sim.clock.advance(29_799);
        assert!(sim.events().is_empty());
        sim.clock.advance(1);
        assert_eq!(
            (sim.events(), sim.task_status(&engaged.task)),
            (NEXT_STEP.map(str::to_owned).to_vec(), "pending")
        );
        sim.clock.advance(59_999);
        assert!(sim.events().is_empty());
        sim.clock.advance(1);
        assert_eq!(sim.events(), WORKFLOW_GIVES_UP);
        assert_eq!(sim.task_status(&engaged.task), "canceled");
    }

    #[test]
    fn a_task_that_was_opened_has_entered_its_workflow() {
        let (sim, engaged) = in_steps(false);
        sim.twilio.close_conversation(&engaged.conversation, crate::Reason::Api).expect("open");
        sim.events();
        let sid = sim.twilio.customer_writes(crate::testing::CUSTOMER, crate::testing::OURS, "hello");
        sim.events();
        sim.interact(&sid.conversation_sid);
        assert_eq!(sim.events(), ["task.created", "workflow.entered"]);
    }

    #[test]
    fn a_last_step_that_is_skipped_ends_the_task_in_another_way() {
        let (sim, engaged) = in_steps(true);
        sim.clock.advance(90_000);
        let expected = [NEXT_STEP, ["workflow.skipped", "task.canceled"]].concat();
        assert_eq!(sim.events(), expected);
        assert_eq!(sim.task_status(&engaged.task), "canceled");
    }

    #[test]
    fn steps_end_when_somebody_accepts() {
        let (sim, engaged) = in_steps(false);
        sim.clock.advance(30_000);
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        sim.events();
        sim.clock.advance(90_000);
        assert!(sim.events().is_empty());
        assert_eq!(sim.task_status(&engaged.task), "assigned");
    }

    #[test]
    fn the_second_workflow_has_no_steps() {
        let (sim, engaged) = in_steps(false);
        sim.twilio.change_settings(|settings| settings.fallback_workflow_timeout_s = Some(10));
        let fallback = sim.twilio.settings().fallback_workflow_sid;
        let routing = sim.routing(&serde_json::json!({ "workflow_sid": fallback }));
        sim.post(&format!("{}/Invites", engaged.channel), &[("Routing", &routing)]);
        sim.clock.advance(10_000);
        assert_eq!(sim.events(), [["task.created"].as_slice(), &WORKFLOW_GIVES_UP].concat());
    }

    #[test]
    fn no_time_at_all_is_over_at_once() {
        let at_once = Sim::with(|settings| settings.workflow_timeout_s = Some(0));
        let stepped = Sim::with(|settings| {
            settings.workflow_steps = [0, 0].map(|timeout_s| WorkflowStep { timeout_s }).into();
        });
        for sim in [at_once, stepped] {
            let engaged = sim.engaged();
            assert_eq!(sim.task_status(&engaged.task), "canceled");
            assert_eq!(sim.get(&engaged.channel).1["status"], "active");
        }
    }
}
