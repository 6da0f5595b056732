//! The provider against a server that speaks EC2's API, behind a proxy with EC2's manners.

mod check;
mod conformance;
mod create;
mod ground;
mod group;
mod observe;
mod refusals;
mod resolve;
mod strict;
mod update;
