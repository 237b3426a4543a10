//! What every function of flexglue shares.
pub mod personal;
pub mod secrets;
pub mod sid;
pub mod signature;
pub mod webhook;
