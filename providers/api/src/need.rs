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

impl Need {
    /// Returns what machines take for certain that are of one type or of another: of what both take
    /// of, the least.
    pub fn least(one: Vec<Self>, other: Vec<Self>) -> Vec<Self> {
        let both = one.into_iter().filter_map(|need| {
            let same = other.iter().find(|it| it.of == need.of)?;
            let needed = need.needed.min(same.needed);
            Some(Self { needed, ..need })
        });
        both.collect()
    }
}
