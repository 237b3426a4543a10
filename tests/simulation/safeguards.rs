//! Every safeguard is needed, and the simulation sees when it is not there: each is switched off in turn, and within a
//! few hundred runs a promise is broken.

use fastrand::Rng;
use flexglue_tests::simulation::{Act, Plan, Trouble, What, overwrite_attributes, run};
use shared::safeguard::Safeguard;

/// The most runs in which a safeguard that is missing must be missed.
const MOST_RUNS: u64 = 400;

/// A run in weather in which the safeguard matters: what is needed only where several things go wrong would else take
/// long to be missed.
fn plan(seed: u64, safeguard: Safeguard) -> Plan {
    let mut plan = Plan::of(seed);
    match safeguard {
        // Twilio has made the Interaction and nobody knows: neither who asked, nor by the event of its task. And Twilio
        // does not drop the second one.
        Safeguard::LookBeforeAsking | Safeguard::Doubt => {
            plan.account.duplicate_guard = false;
            plan.weather.troubles.retain(|(trouble, _)| *trouble != Trouble::TwilioIsLate);
            plan.weather.bursts.retain(|(_, _, trouble, _)| *trouble != Trouble::TwilioIsLate);
            plan.weather.troubles.extend([(Trouble::TwilioLostAfter, 300), (Trouble::WebhookLost, 300)]);
        }
        // The first agent has another invited, and is gone. The other's task is known by nothing but that agent: nobody
        // tells of it, no list shows it.
        Safeguard::LookForAgents => {
            plan.account.shows_invites = false;
            let dice = &mut Rng::with_seed(seed);
            let accepted = plan.acts.iter().filter(|act| act.what == What::AgentAccepts).map(|act| act.at_ms);
            for at_ms in accepted.collect::<Vec<_>>() {
                for (after_ms, what) in
                    [(500, What::AgentInvites), (1500, What::AgentAccepts), (20_000, What::TaskIsDeleted)]
                {
                    plan.acts.push(Act { at_ms: at_ms + after_ms, what, dice: dice.u64(..) });
                }
            }
            overwrite_attributes(&mut plan.acts, dice);
            plan.weather.troubles.push((Trouble::WebhookLost, 700));
        }
        _ => {}
    }
    plan
}

/// Lives through seeds without a safeguard until a promise is broken.
fn is_missed(safeguard: Safeguard) {
    for seed in 0..MOST_RUNS {
        if let Err(broken) = safeguard.without(|| run(&plan(seed, safeguard), false)) {
            println!("{safeguard:?} is missed in seed {seed}: {}", broken.wrong);
            return;
        }
    }
    panic!("nobody has missed {safeguard:?} in {MOST_RUNS} runs");
}

macro_rules! every_safeguard {
    ($($name:ident: $safeguard:ident,)*) => {
        $(
            #[test]
            fn $name() {
                is_missed(Safeguard::$safeguard);
            }
        )*

        #[test]
        fn no_safeguard_is_left_out() {
            let tested = [$(Safeguard::$safeguard),*];
            assert_eq!(tested, Safeguard::ALL);
        }
    };
}

every_safeguard! {
    conversation_version: ConversationVersion,
    reach_version: ReachVersion,
    web_chat_version: WebChatVersion,
    pair_lock: PairLock,
    lease: Lease,
    owner: Owner,
    due_at_once: DueAtOnce,
    look_before_asking: LookBeforeAsking,
    doubt: Doubt,
    look_for_agents: LookForAgents,
    look_for_tasks: LookForTasks,
    step_record: StepRecord,
    look_for_message: LookForMessage,
    look_for_reinvite: LookForReinvite,
    most_reinvites: MostReinvites,
    idempotency_key: IdempotencyKey,
    look_for_reach_message: LookForReachMessage,
    unique_name: UniqueName,
    unlock: Unlock,
    look_for_guest: LookForGuest,
    discovery: Discovery,
}
