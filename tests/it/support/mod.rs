//! What several tests share.

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
pub mod cloud;
pub mod draw;
pub mod golden;
pub mod normal;
pub mod program;
pub mod script;

pub mod stack;
