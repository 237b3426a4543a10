//! What the tests of the whole system are made of: the [`rig`] holds everything in one process on a virtual
//! clock, and [`wires`] go between a function and what it calls, to be slow, to lose, to be cut.

pub mod rig;
pub mod wires;
