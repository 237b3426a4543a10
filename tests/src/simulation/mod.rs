//! Random contact centres, each from a seed: the real handlers, the real AWS SDK and the real ledger against the
//! embedded DynamoDB and the simulated Twilio, in one process, on a virtual clock.
//!
//! A [`Plan`] is drawn from a seed: how the account is set up, what people do and when, and how bad the [`Weather`]
//! is. [`run`] lives it: every function runs on machines (`machine`) whose clocks differ, that are killed and frozen
//! at any request, and whose requests are late, lost, refused or never answered. At every step and at the end it is
//! watched (`watch`) and judged (`judge`) whether the promises hold. The same plan always gives the same run, so a plan
//! that breaks a promise can be [shrunk](shrink()) to a short one and told as a story.
//!
//! `docs/proof.md` says what is claimed and how to run it.

mod centre;
mod ear;
mod judge;
mod machine;
mod people;
mod plan;
mod rest;
mod shrink;
mod story;
mod watch;
mod weather;

pub use self::{
    centre::{Broken, Finished, run},
    plan::{Act, Plan, What, overwrite_attributes},
    shrink::shrink,
    watch::Counts,
    weather::{Trouble, Weather},
};
