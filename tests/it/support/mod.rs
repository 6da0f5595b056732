//! What several tests share.

pub mod golden;
pub mod normal;
pub mod program;
pub mod script;

pub mod stack;
