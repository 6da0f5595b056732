//! The program on a double of Compute Engine.

mod adopt;
mod crash;
mod figures;
mod firewall;
mod ground;
mod kill;
mod stack;
