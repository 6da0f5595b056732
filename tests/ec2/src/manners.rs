//! How the proxy behaves, as tests set it.

use std::collections::{BTreeMap, BTreeSet};

use crate::buckets::Bucket;

/// How the proxy behaves; by default as EC2 does on a good day.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// How many listings do not show new machines yet.
    pub lag: u32,
    /// Which call that changes something loses its reply: each so many; 0 loses none.
    pub lose_every: u32,
    /// Buckets by the name of the call; calls without one are not throttled.
    pub buckets: BTreeMap<String, Bucket>,
    /// How many more machines of a type there is room for; types without an entry have no limit.
    pub room: BTreeMap<String, u32>,
    /// Answers to give in place of the server's, each once, by the name of the call.
    pub refusals: Vec<Refusal>,
    /// Machines whose checks fail.
    pub impaired: BTreeSet<String>,
}

/// An answer to give in place of the server's.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The name of the call.
    pub action: String,
    /// The status.
    pub status: u16,
    /// The error's code.
    pub code: String,
    /// What it says.
    pub message: String,
}

impl Refusal {
    /// Makes one.
    pub fn new(action: &str, status: u16, code: &str, message: &str) -> Self {
        Self {
            action: action.to_owned(),
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}
