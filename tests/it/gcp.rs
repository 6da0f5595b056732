//! The program on a double of Compute Engine.

mod adopt;
mod crash;
mod figures;
mod firewall;
pub mod ground;
mod kill;
mod stack;
