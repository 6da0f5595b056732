//! How the double behaves.

use std::collections::{BTreeMap, BTreeSet};

/// How the double behaves; by default well.
#[derive(Clone, Debug)]
pub struct Manners {
    /// How many further calls an operation takes to end; `wait` ends it at once.
    pub slow: u32,
    /// How many listings do not show a new machine yet.
    pub lag: u32,
    /// Of the calls that change something, each such one has its effect and no reply; 0 for none.
    pub lose_every: u64,
    /// Each such call is told to slow down; 0 for none.
    pub throttle_every: u64,
    /// How many more machines of a type there is room for; any number of those not named.
    pub room: BTreeMap<String, u32>,
    /// Zones that have room for no machine.
    pub full: BTreeSet<String>,
    /// How many machines the project may have.
    pub quota: usize,
    /// The limits of a region's other quotas, by metric.
    pub limits: BTreeMap<String, u32>,
    /// How many machines a subnetwork has addresses for.
    pub addresses: usize,
    /// Zones that listings do not reach, and say so.
    pub unreachable: BTreeSet<String>,
    /// Permissions that the caller lacks, where it asks for them.
    pub denied: BTreeSet<String>,
    /// The most machines of a page, whatever is asked for.
    pub page: usize,
    /// Answers to give in place of the cloud's, each once.
    pub refusals: Vec<Refused>,
    /// Labels that somebody sets just before the next such call looks at fingerprints.
    pub meddle: u32,
    /// Where a client hangs, so that it can be killed there.
    pub halt: Option<Halt>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            slow: 2,
            lag: 0,
            lose_every: 0,
            throttle_every: 0,
            room: BTreeMap::new(),
            full: BTreeSet::new(),
            quota: 100_000,
            limits: BTreeMap::new(),
            addresses: 262_140,
            unreachable: BTreeSet::new(),
            denied: BTreeSet::new(),
            page: 500,
            refusals: Vec::new(),
            meddle: 0,
            halt: None,
        }
    }
}

/// The call at which a client hangs: it never gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The number of the call among those that change something, from 1.
    pub change: u64,
    /// Whether the call has had its effect.
    pub is_done: bool,
}

/// An answer to give in place of the cloud's.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The name of the call, such as `instances.setLabels`.
    pub method: String,
    /// The status.
    pub status: u16,
    /// The error's reason.
    pub reason: String,
    /// Whether the call succeeds, and its operation fails.
    pub is_later: bool,
}

impl Refused {
    /// Makes a refusal of a call.
    pub fn new(method: &str, status: u16, reason: &str) -> Self {
        Self {
            method: method.to_owned(),
            status,
            reason: reason.to_owned(),
            is_later: false,
        }
    }

    /// Makes the failure of a call's operation.
    pub fn later(method: &str, status: u16, reason: &str) -> Self {
        Self {
            is_later: true,
            ..Self::new(method, status, reason)
        }
    }
}
