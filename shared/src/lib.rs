//! What every function of flexglue shares.
pub mod secrets;
pub mod sid;
