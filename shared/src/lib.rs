//! What every function of flexglue shares. Read [`conversation`] first: it says what may happen to a
//! conversation, and knows nothing of the rest.
//!
//! - in: [`gateway`] (what Lambda hands over) → [`webhook`] (verified events, [`signature`])
//! - what to do: [`conversation`] (records and transitions), [`routing`], [`opening`] (claim, ask, record),
//!   [`rescue`] (look after what is open), [`closing`]; [`reach`] and [`reaching`], the same for outbound reaches;
//!   [`web_chat`] and [`web_chat_host`], for web chats
//! - out: [`ledger`] (the records in DynamoDB), [`twilio`] (its REST APIs), both through [`transport`]
//! - handed in: [`clock`], [`random`], [`config`], [`secrets`]; put together in [`parts`], begun in [`start`]
//! - [`cors`]: browsers from elsewhere; [`access_token`]: what their chat client shows Twilio; [`jws`]: signed JSON
//! - [`safeguard`]: what the promise rests on, by name
//! - [`telemetry`] and [`problem`]: what is said about it; [`body`]: what is sent to us; [`personal`] and [`sid`]: types that keep it safe

pub mod access_token;
pub mod aws;
pub mod body;
pub mod clock;
pub mod closing;
pub mod config;
pub mod conversation;
pub mod cors;
pub mod gateway;
pub mod jws;
pub mod ledger;
pub mod opening;
pub mod parts;
pub mod personal;
pub mod problem;
pub mod random;
pub mod reach;
pub mod reaching;
pub mod reception;
pub mod rescue;
pub mod routing;
pub mod safeguard;
pub mod secrets;
pub mod sid;
pub mod signature;
pub mod start;
pub mod telemetry;
pub mod transport;
pub mod twilio;
pub mod web_chat;
pub mod web_chat_host;
pub mod webhook;
