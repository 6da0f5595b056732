//! A deterministic cloud in memory or in a file: for tests, for `--simulate`, for trying the tool.
//!
//! [`SimCloud`] is the cloud itself and [`SimKind`] the provider that drives it;
//! [`Simulated`] lets any other provider's fleets run on it. A [`FaultPlan`]
//! says how badly the cloud behaves.
//!
//! The flow of one request: `cloud` ticks the clock and asks the fault plan,
//! one of `requests` decides what happens, `store` makes that durable, and
//! `world` becomes it. Deciding and becoming are pure.
//!
//! Invariants:
//! 1. The clock counts wire requests, never time: one seed and one sequence of
//!    calls give one outcome, however fast they are made.
//! 2. Every choice is drawn from a hash of seed, clock and what is chosen, so no
//!    decision depends on how many others were made before it.
//! 3. A request happens wholly or not at all, also when the process is killed
//!    in the middle of it.
//!
//! This crate may not read the clock of the computer or any randomness that can
//! change an outcome.

mod cloud;
mod draw;
mod error;
mod event;
mod faults;
mod inspect;
mod kind;
mod machine;
mod provider;
mod record;
mod requests;
mod settings;
mod simulated;
mod store;
mod world;

pub use cloud::SimCloud;
pub use draw::{Probability, Span};
pub use error::SimError;
pub use event::{Event, EventKind, Truth};
pub use faults::{Call, Death, FailBootstrap, FaultPlan, Scripted, SpontaneousDeath, Throttle};
pub use kind::SimKind;
pub use settings::SimSettings;
pub use simulated::Simulated;
