//! How the proxy behaves, as tests set it.

use std::collections::{BTreeMap, BTreeSet};

use crate::buckets::Bucket;

/// How the proxy behaves; by default as EC2 does on a good day.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// How many listings do not show new machines yet.
    pub lag: u32,
    /// The most reservations of a page of instances, whatever is asked for; 0 is the server's way.
    pub page: u32,
    /// Which call that changes something loses its reply: each so many; 0 loses none.
    pub lose_every: u32,
    /// Buckets by the name of the call; calls without one are not throttled.
    pub buckets: BTreeMap<String, Bucket>,
    /// How many more machines of a type there is room for; types without an entry have no limit.
    pub room: BTreeMap<String, u32>,
    /// Subnets whose zone has room for no machine.
    pub full: BTreeSet<String>,
    /// Answers to give in place of the server's, each once, by the name of the call.
    pub refusals: Vec<Refusal>,
    /// What to answer in place of the server, always, by the name of the call.
    pub answers: BTreeMap<String, String>,
    /// Where a client hangs, so that it can be killed there.
    pub halt: Option<Halt>,
    /// Machines whose checks fail.
    pub impaired: BTreeSet<String>,
}

/// The call at which a client hangs: it never gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The number of the call among those that change something, from 1.
    pub change: u64,
    /// Whether the call has had its effect.
    pub is_done: bool,
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
