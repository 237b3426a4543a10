//! The command line of flexglue, and the local parts that it and the tests run on.

pub mod adopt;
mod callback;
pub mod command;
pub mod deployed;
pub mod doctor;
pub mod explain;
pub mod live;
pub mod local;
pub mod replay;
pub mod setup;
