//! The command line of flexglue, and the local parts that it and the tests run on.

pub mod command;
pub mod local;
