//! The local parts: stand-ins, on one machine, for what AWS does around the functions.
//!
//! - [`gateway`] takes HTTP requests and calls functions, as API Gateway does. Its two halves are [`event`]
//!   (a request becomes the JSON that a function is given) and [`answer`] (its JSON becomes a response).
//! - [`dynamodb`] is the embedded DynamoDB.
//! - [`template`] reads the definition of its table from `template.yaml`, the only place that has one.
//! - [`page`] is a site of ours, with a web chat on it.
//! - [`system`] puts all of it together with the functions and the simulated Twilio, over [`transports`] that
//!   need no socket and on a [`clock`] that can be moved.

pub mod answer;
pub mod clock;
pub mod dynamodb;
pub mod event;
pub mod gateway;
pub mod page;
pub mod system;
pub mod template;
pub mod transports;
