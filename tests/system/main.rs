//! Tests of the whole system: the real handlers, the real AWS SDK and the real ledger against the embedded
//! DynamoDB and the simulated Twilio, in one process, on a paused clock, from seeds.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

mod callers;
mod costs;
mod crowds;
mod discovery;
mod growth;
mod healing;
mod killed;
mod messages;
mod orphans;
mod outbound;
mod permissions;
mod reaching;
mod rotation;
mod set_up;
mod strangers;
mod table;
mod tls;
mod traps;
mod web_chats;
