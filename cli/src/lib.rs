//! What the `flexglue` command is made of.
pub mod local;
