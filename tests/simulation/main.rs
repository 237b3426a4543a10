//! What the simulation itself promises: see `flexglue_tests::simulation`. `tests/simulate` runs it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

mod safeguards;

use std::fmt::Write as _;

use flexglue_tests::simulation::{Act, Plan, Trouble, Weather, What, run, shrink};

fn story(plan: &Plan) -> String {
    let mut text = format!("{plan}\n");
    let broken = run(plan, true).expect_err("it breaks a promise every time");
    for line in broken.story {
        writeln!(text, "{line}").unwrap();
    }
    write!(text, "{}", broken.wrong).unwrap();
    text
}

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    for seed in [3, 14, 15, 92] {
        let plan = Plan::of(seed);
        let (first, second) = (run(&plan, true), run(&plan, true));
        let lines = |run: Result<_, _>| match run {
            Ok(flexglue_tests::simulation::Finished { story, .. }) => story,
            Err(flexglue_tests::simulation::Broken { wrong, .. }) => panic!("seed {seed}: {wrong}"),
        };
        let (first, second) = (lines(first), lines(second));
        assert!(first.len() > 50, "seed {seed} tells something");
        for (line, (one, other)) in first.iter().zip(&second).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {line}");
        }
        assert_eq!(first.len(), second.len());
    }
}

#[test]
fn another_seed_is_another_run() {
    let story = |seed| run(&Plan::of(seed), true).unwrap().story;
    assert_ne!(story(3), story(14));
}

#[test]
fn what_breaks_a_promise_is_told_in_few_lines() {
    use shared::safeguard::Safeguard;
    let (seed, story) = Safeguard::DueAtOnce.without(|| {
        let plan = (0..50).map(Plan::of).find(|plan| run(plan, false).is_err()).unwrap();
        let short = shrink(&plan);
        assert!(
            short.acts.len() <= 3 && short.weather.troubles.len() + short.weather.bursts.len() <= 2,
            "{short}"
        );
        (plan.seed, story(&short))
    });
    assert!(run(&Plan::of(seed), false).is_ok(), "with the safeguard it is well");
    assert!(story.contains("CH#1"), "{story}");
}

/// A plan that was written by hand is lived like any other.
#[test]
fn fine_weather_needs_no_sweeper_to_open_a_conversation() {
    let mut plan = Plan::of(1);
    plan.weather = Weather { troubles: Vec::new(), bursts: vec![(0, 1, Trouble::Killed, 0)] };
    plan.acts = vec![Act { at_ms: 10, what: What::CustomerWrites { customer: 0, whatsapp: false }, dice: 0 }];
    let finished = run(&plan, true).unwrap_or_else(|broken| panic!("{}", broken.wrong));
    assert!(
        finished.story.iter().any(|line| line.contains("is answered Some(200)") && line.contains("created"))
    );
}
