//! What the tests of the whole system are made of: the [`rig`] holds everything in one process on a virtual
//! clock, [`wires`] go between a function and what it calls, to be slow, to lose, to be cut, and
//! [`runtime_api`] runs compiled functions as Lambda does, against an account on [`loopback`], in whatever
//! [`weather`].

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "what cannot be set up fails the test that wanted it"
)]

pub mod chat;
pub mod front;
pub mod fuzzing;
pub mod loopback;
pub mod outbound;
pub mod rig;
pub mod runtime_api;
pub mod simulation;
pub mod tale;
pub mod tls;
pub mod turnstile;
#[cfg(target_os = "linux")]
pub mod vitals;
pub mod weather;
pub mod wires;
