//! What the tests of the whole system are made of: the [`rig`] holds everything in one process on a virtual
//! clock, [`wires`] go between a function and what it calls, to be slow, to lose, to be cut, and
//! [`runtime_api`] runs compiled functions as Lambda does.

pub mod rig;
pub mod runtime_api;
pub mod wires;
