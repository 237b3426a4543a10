//! Everything that our code can ask Twilio, and what the simulated one answers: written down for
//! `tests/openapi/run.sh`, which compares both with what Twilio publishes. Here is checked that nothing is left out.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

mod client;
mod recorder;
mod stories;

use std::{collections::BTreeSet, env, fs};

use crate::{
    client::{Driver, functions, parameters},
    recorder::{Kind, Recorder},
};

/// Where the exchanges are written, one JSON text a line, if anywhere.
const WRITE_TO: &str = "FLEXGLUE_RECORDED_EXCHANGES";

/// Asked only where Twilio's answer to a new Interaction did not name its channel, which the simulated one does.
const NOT_IN_STORIES: [&str; 1] = ["GET https://flex-api.twilio.com/v1/Interactions/{KD}/Channels"];

#[tokio::test(start_paused = true)]
async fn everything_that_can_be_asked_of_twilio_is_recorded() {
    let mut driver = Driver::new();
    driver.ask_everything().await;
    assert_eq!(driver.asked, functions(), "the functions asked by, and those that the client has");

    let kinds = driver.recorder.kinds();
    let named: BTreeSet<_> = kinds.iter().flat_map(|kind| kind.parameters.clone()).collect();
    assert_eq!(named, parameters(), "the parameters sent, and those that the client knows");
    assert_eq!(
        driver.recorder.statuses(),
        BTreeSet::from([200, 201, 204, 400, 401, 404, 409, 429, 500, 503]),
        "the statuses that were answered"
    );

    let played = Recorder::default();
    stories::play(&played).await;
    let elsewhere: Vec<_> = played.kinds().difference(&kinds).cloned().collect();
    assert!(elsewhere.is_empty(), "asked in a story, and by none of the client's functions: {elsewhere:#?}");
    let routes = |kinds: BTreeSet<Kind>| kinds.into_iter().map(|kind| kind.route).collect::<BTreeSet<_>>();
    let (mut routes, played_routes) = (routes(kinds), routes(played.kinds()));
    routes.retain(|route| !NOT_IN_STORIES.contains(&&**route));
    assert_eq!(routes, played_routes, "the routes that the client has, and those that the stories take");

    let mut lines = driver.recorder.lines();
    lines.extend(played.lines());
    println!(
        "{} requests on {} routes, {} distinct",
        driver.recorder.count() + played.count(),
        routes.len(),
        lines.len()
    );
    if let Some(path) = env::var_os(WRITE_TO) {
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        fs::write(path, text).unwrap();
    }
}
