//! meshvm provisions fleets of VMs that are members of an Istio mesh.
//!
//! # The straight line
//!
//! ```text
//! fleet file --parse--> FleetSpec --expand--> Desired ---+
//!                                                        +--plan--> Plan --lower--> StepGraph --apply--> Outcome
//! clouds, mesh, ledger --observe--> Observed ------------+                              (journal in the ledger)
//! ```
//!
//! | arrow | function | does I/O |
//! |---|---|---|
//! | parse | [`spec::parse`] | no |
//! | expand | [`desired::expand`] | no |
//! | observe | [`observe::observe`] | yes |
//! | plan | [`plan::plan`] | no |
//! | lower | [`steps::lower()`] | no |
//! | apply | [`apply::run`] | yes |
//!
//! [`engine`] puts them in a row for one stack, [`cli`] for one command. Data
//! moves only rightwards: nothing on the right is imported by something on its
//! left. Ids, time and randomness come in as arguments.
//!
//! The library prints nothing and reads no environment, but for [`cli`].

pub mod apply;
pub mod bootstrap;
pub mod cli;
pub mod desired;
pub mod diag;
pub mod engine;
pub mod istio;
pub mod journal;
pub mod ledger;
pub mod many;
pub mod mesh;
pub mod observe;
pub mod observed;
pub mod plan;
pub mod preflight;
pub mod providers;
pub mod show;
pub mod spec;
pub mod steps;
