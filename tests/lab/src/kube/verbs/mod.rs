//! What each verb does, in the order in which a real server does it.

pub mod admit;
pub mod create;
pub mod delete;
pub mod patch;
pub mod read;
pub mod strategic;
pub mod update;
pub mod watch;
pub mod writer;
