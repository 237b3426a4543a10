//! What the tests of the whole system stand on.
pub mod runtime_api;
