//! Tests of the simulated cloud from outside.

mod conformance;
mod determinism;
mod faults;
mod flaws;
mod harness;
mod inspection;
mod killed;
mod private;
mod scale;
mod sharing;
