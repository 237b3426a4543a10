//! A stateful Twilio in one process, for tests and local runs.
//!
//! [`Twilio`] answers the parts of Conversations v1, Flex v1 (Interactions) and v2 (web chats), `TaskRouter`
//! v1 and IAM v1 (Flex tokens) that flexglue uses, as the real ones do: an Interaction is set up after it was
//! accepted, a pair of addresses may be in one open conversation only, closed is final, tasks vanish. It
//! signs its webhooks, and it can be told to misbehave ([`Fault`], [`WebhookFault`]). It is stricter than the
//! real one in one thing: a parameter that Twilio does not publish is refused, so that a misspelt name does
//! not pass a test.
//!
//! Nothing in it depends on chance or on the time of day. Time comes from a [`Clock`], sids from
//! [`Settings::seed`].
//!
//! A chat user may call it with an access token (`Authorization: Bearer`) in place of the account's password,
//! as a client of the SDK would: to read the conversations they are in, and to write there. The SDK has a
//! protocol of its own for that, which is not published; here it is a few of the paths of Conversations v1.
//!
//! What it tells of tasks it also keeps, as `TaskRouter` does in its Events list; and it sends a task event
//! again if it is told ([`Twilio::webhook_answered`]) that its delivery failed.
//!
//! How it is laid out: `twilio` is the handle, `people` what customers and agents do, `serve` the same over
//! HTTP, to pages of other origins as well (`cors`). A call is read by `call`, checked by `parameters` and answered through `answer` or, for lists,
//! `page`; `access_token` tells who a chat user is. `world` holds the state and lets time pass in it
//! (`agenda`); `webhooks` keeps what is to be delivered, `retries` decides what is delivered again, `limits`
//! what is too often and `faults` what goes wrong. There is a folder for each API and in it a file for each
//! resource.

mod access_token;
mod account;
mod agenda;
mod answer;
mod call;
mod clock;
mod conversations;
mod cors;
mod dates;
mod faults;
mod flex;
mod iam;
mod limits;
mod monitor;
mod page;
mod parameters;
mod people;
mod retries;
mod serve;
mod settings;
mod shown;
mod sids;
mod signature;
mod taskrouter;
#[cfg(test)]
mod testing;
mod twilio;
mod webhooks;
mod world;

pub use answer::Refusal;
pub use clock::{Clock, SetClock};
pub use conversations::messages::Message;
pub use conversations::participants::{Binding, Participant};
pub use conversations::receipts::{DeliveryStatus, Receipt, Unreachable};
pub use conversations::scoped_webhooks::{ScopedWebhook, Target};
pub use conversations::{Conversation, ConversationState, Reason};
pub use faults::{Fault, Lost, Matcher, Misbehaviour, Times, WebhookFault, WebhookMisbehaviour};
pub use flex::asked::InitiatedBy;
pub use flex::channels::{Channel, ChannelError, ChannelStatus};
pub use flex::interactions::Interaction;
pub use flex::invites::Invite;
pub use flex::participants::{Participant as InteractionParticipant, ParticipantKind};
pub use flex::transfers::{Transfer, TransferStatus};
pub use people::Written;
pub use settings::{
    Address, Integration, ServiceWebhook, Settings, Sleep, TaskChannel, Worker, WorkflowStep,
};
pub use shown::{Alert, Shown, WebhookConfiguration};
pub use signature::sign;
pub use taskrouter::reservations::{Reservation, ReservationStatus};
pub use taskrouter::tasks::{Task, TaskStatus};
pub use twilio::Twilio;
pub use webhooks::Webhook;
pub use world::{RequestSeen, Warning};
