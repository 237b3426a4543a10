//! The timers that make a conversation inactive and close it.
//! See <https://www.twilio.com/docs/conversations/states-timers>.

use crate::agenda::Effect;
use crate::answer::Refusal;
use crate::conversations::state::{ConversationState, Reason, change};
use crate::dates;
use crate::parameters::Parameters;
use crate::world::World;

/// The shortest inactive timer.
const INACTIVE_AT_LEAST_MS: u64 = 60_000;
/// The shortest closed timer.
const CLOSED_AT_LEAST_MS: u64 = 600_000;

/// The timers that a request names, in milliseconds. 0 turns one off.
pub(crate) struct Asked {
    pub(crate) inactive: Option<u64>,
    pub(crate) closed: Option<u64>,
}

impl Asked {
    pub(crate) fn read(parameters: &Parameters<'_>) -> Result<Self, Refusal> {
        Ok(Self {
            inactive: duration(parameters, "Timers.Inactive", INACTIVE_AT_LEAST_MS)?,
            closed: duration(parameters, "Timers.Closed", CLOSED_AT_LEAST_MS)?,
        })
    }

    pub(crate) fn any(&self) -> bool {
        self.inactive.is_some() || self.closed.is_some()
    }
}

/// A duration of at least `least` milliseconds, or `PT0S`.
fn duration(parameters: &Parameters<'_>, name: &str, least: u64) -> Result<Option<u64>, Refusal> {
    let Some(text) = parameters.text(name) else { return Ok(None) };
    match dates::duration_ms(text) {
        Some(ms) if ms == 0 || ms >= least => Ok(Some(ms)),
        Some(_) => {
            Err(Refusal::invalid(format!("{name} is shorter than {} minutes", least / INACTIVE_AT_LEAST_MS)))
        }
        None => Err(Refusal::invalid(format!("{name} is not an ISO 8601 duration"))),
    }
}

/// Plans a look at the conversation for when its next timer runs out.
pub(crate) fn plan(world: &mut World, sid: &str) {
    if let Some(due_ms) = world.conversations.get(sid).and_then(|conversation| {
        let inactive =
            conversation.inactive_after_ms.filter(|_| conversation.state == ConversationState::Active);
        let closed = conversation.closed_after_ms.filter(|_| is_live(conversation.state));
        inactive.into_iter().chain(closed).min().map(|ms| conversation.active_ms.saturating_add(ms))
    }) {
        world.agenda.plan(due_ms, Effect::ConversationTimer(sid.to_owned()));
    }
}

/// Does what the timers of the conversation ask for by now. Activity since the look was planned makes it
/// void.
pub(crate) fn run(world: &mut World, sid: &str) {
    let Some(conversation) = world.conversations.get(sid) else { return };
    let idle_ms = world.now.saturating_sub(conversation.active_ms);
    let over = |after: Option<u64>| after.is_some_and(|ms| idle_ms >= ms);
    let to = if over(conversation.closed_after_ms) && is_live(conversation.state) {
        ConversationState::Closed
    } else if over(conversation.inactive_after_ms) && conversation.state == ConversationState::Active {
        ConversationState::Inactive
    } else {
        return;
    };
    change(world, sid, to, Reason::Timer, true);
}

fn is_live(state: ConversationState) -> bool {
    matches!(state, ConversationState::Active | ConversationState::Inactive)
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, OURS, Sim, text};

    fn timed(sim: &Sim) -> String {
        let form = [("State", "active"), ("Timers.Inactive", "PT10M"), ("Timers.Closed", "PT1H")];
        let sid = text(&sim.post("/v1/Conversations", &form).1["sid"]);
        assert_eq!(sim.bind(&sid, CUSTOMER, OURS), 0);
        let hook = [
            ("Target", "webhook"),
            ("Configuration.Url", "https://example.com/hook"),
            ("Configuration.Method", "post"),
            ("Configuration.Filters", "onConversationStateUpdated"),
        ];
        assert_eq!(sim.post(&format!("/v1/Conversations/{sid}/Webhooks"), &hook).0, 201);
        sid
    }

    /// From, to and reason of the state events that are due.
    fn changes(sim: &Sim) -> Vec<String> {
        let change = |webhook: crate::Webhook| {
            let field = |name| webhook.param(name).unwrap_or_default().to_owned();
            format!("{} {} {}", field("StateFrom"), field("StateTo"), field("Reason"))
        };
        sim.webhooks().into_iter().map(change).collect()
    }

    #[test]
    fn timers_make_a_conversation_inactive_and_then_closed() {
        let sim = Sim::new();
        let sid = timed(&sim);
        sim.clock.advance(599_999);
        assert_eq!(sim.state(&sid), "active");
        sim.clock.advance(1);
        assert_eq!(sim.state(&sid), "inactive");
        sim.clock.advance(3_000_000);
        assert_eq!(sim.state(&sid), "closed");
        assert_eq!(changes(&sim), ["active inactive TIMER", "inactive closed TIMER"]);
    }

    #[test]
    fn each_effect_happens_at_its_own_time_however_late_it_is_looked_at() {
        let sim = Sim::new();
        timed(&sim);
        sim.clock.advance(10_000_000);
        let at: Vec<u64> =
            sim.webhooks().iter().map(|webhook| webhook.happened_ms - crate::testing::START_MS).collect();
        assert_eq!(at, [600_000, 3_600_000]);
    }

    #[test]
    fn a_message_begins_the_timers_again_and_wakes_the_conversation_up() {
        let sim = Sim::new();
        let sid = timed(&sim);
        sim.clock.advance(500_000);
        sim.twilio.customer_writes(CUSTOMER, OURS, "still here");
        sim.clock.advance(500_000);
        assert_eq!(sim.state(&sid), "active");
        sim.clock.advance(100_000);
        assert_eq!(sim.state(&sid), "inactive");
        assert_eq!(sim.twilio.customer_writes(CUSTOMER, OURS, "back").conversation_sid, sid);
        assert_eq!(sim.state(&sid), "active");
        assert_eq!(changes(&sim), ["active inactive TIMER", "inactive active EVENT"]);
    }

    #[test]
    fn the_account_may_set_timers_for_all() {
        let sim = Sim::with(|settings| settings.default_closed_timer = Some("PT30M".to_owned()));
        let by_default = sim.conversation();
        let off =
            text(&sim.post("/v1/Conversations", &[("State", "active"), ("Timers.Closed", "PT0S")]).1["sid"]);
        sim.clock.advance(1_800_000);
        assert_eq!((sim.state(&by_default), sim.state(&off)), ("closed", "active"));
    }
}
