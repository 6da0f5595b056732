//! The program on a double of Azure Resource Manager.

mod adopt;
mod crash;
mod figures;
pub mod ground;
mod kill;
mod stack;
