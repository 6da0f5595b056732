//! Real containers: everything here boots machines, so it needs root and the tools of `doctor`.
//!
//! What is missing is a failure that says how to install it, never a test that
//! is passed over. Each test has a data folder of its own, and asserts at its
//! end that nothing of it is left on this computer. The base image is built
//! once, in cargo's folder for such files, and lent to all of them.

mod boot;
mod conformance;
mod crash;
mod ground;
mod image;
mod private;
mod sharing;
