//! The program on a server that speaks EC2's API, behind a proxy that has EC2's manners.

mod adopt;
mod crash;
pub mod ground;
mod group;
mod image;
mod kill;
mod ledger;
mod scale;
mod stack;
