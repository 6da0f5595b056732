//! What machines take of things that there is only so much of.

use std::collections::BTreeMap;

/// How many machines more than there are, by zone.
pub type Growth = BTreeMap<String, u32>;

/// What a fleet's new machines take of something that there is only so much of, and that others
/// may want at the same time, such as a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What it is, in words that no other such thing of the provider has.
    pub of: String,
    /// How much the machines take.
    pub needed: u64,
    /// How much is left.
    pub left: u64,
}
