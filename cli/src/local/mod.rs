//! The local parts: stand-ins, on one machine, for what AWS does around the functions.
//!
//! - [`dynamodb`] is the embedded `DynamoDB`.
//! - [`template`] reads the definition of its table from `template.yaml`, the only place that has one.

pub mod dynamodb;
pub mod template;
