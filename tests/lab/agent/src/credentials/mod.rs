//! Keys and certificates: what the workload holds, asks for, and leaves on the disk.
//!
//! A certificate is held on to with the token once and with the certificate before it ever after.
//! A key never leaves the machine, and each certificate has a new one. What is written is whole or
//! not there, and its owner's alone.

mod authority;
mod connect;
mod files;
mod held;
mod keys;
mod rotation;

pub use self::authority::{IssueError, issue};
pub use self::connect::{ConnectError, Peer, authorized, connect};
pub use self::files::{Material, WriteError, write_private};
pub use self::held::{Held, held, not_after};
pub use self::rotation::{keep, lifetime_until_renewal};
