//! Access tokens that Twilio's own libraries have made: each is read, and ours from the same input says the same.
//!
//! `tests/crosscheck/tokens.sh` makes thousands of them, names the file in `FLEXGLUE_THEIR_TOKENS`, and has the
//! libraries read what is written to `FLEXGLUE_OUR_TOKENS`. Without them it is a committed sample.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "these are tests, helpers and all")]

use std::{fmt::Write as _, time::Duration};

use serde::{Deserialize, Serialize};
use shared::{
    access_token::{ApiKey, Audience},
    clock::Timestamp,
    secrets::Secret,
};

const SAMPLE: &str = include_str!("data/tokens.jsonl");

#[derive(Deserialize, Serialize)]
struct Line {
    key: String,
    secret: String,
    account: String,
    service: String,
    identity: String,
    region: Option<String>,
    token: String,
    until: u64,
}

#[test]
fn twilios_libraries_and_ours_read_each_others_tokens() {
    let theirs = match std::env::var("FLEXGLUE_THEIR_TOKENS") {
        Ok(file) => std::fs::read_to_string(file).expect("the script has made them"),
        Err(_) => SAMPLE.to_owned(),
    };
    let mut made = String::new();
    for text in theirs.lines() {
        let line: Line = serde_json::from_str(text).unwrap();
        let key = ApiKey { sid: line.key.parse().unwrap(), secret: Secret::new(&*line.secret) };
        let audience = Audience {
            account: line.account.parse().unwrap(),
            service: line.service.parse().unwrap(),
            region: line.region.clone(),
        };
        let before_its_end = Timestamp::from_seconds(line.until - 1);
        let admitted = audience.admits(&key, &line.token, before_its_end).unwrap();
        assert_eq!((&admitted.identity, admitted.until.as_seconds()), (&line.identity, line.until));
        let now = Timestamp::from_seconds(line.until);
        let admission = audience.token(&key, &line.identity, Duration::from_hours(1), now);
        assert_eq!(audience.admits(&key, admission.token.expose(), now).unwrap().identity, line.identity);
        let token = admission.token.expose().to_owned();
        let line = Line { token, until: admission.until.as_seconds(), ..line };
        writeln!(made, "{}", serde_json::to_string(&line).unwrap()).unwrap();
    }
    assert!(!made.is_empty());
    if let Ok(file) = std::env::var("FLEXGLUE_OUR_TOKENS") {
        std::fs::write(file, made).expect("the script's folder is there");
    }
}
