//! What the command line tells operators of their account.
//!
//! After a change on purpose: `INSTA_UPDATE=always cargo test --workspace --test operator`, and read what has changed.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

mod doctor;
mod explain;
mod replay;
mod setup;

use flexglue::doctor::{Examination, Verdict};

/// The checks that came to something, in order.
fn checks_that(examination: &Examination, came_to: impl Fn(Verdict) -> bool) -> Vec<&'static str> {
    examination.checks.iter().filter(|check| came_to(check.verdict)).map(|check| check.check).collect()
}
