//! How the double behaves, as tests set it.

use std::collections::{BTreeMap, BTreeSet};

/// How the double behaves; by default as Azure does on a good day, in a hurry.
#[derive(Clone, Debug)]
pub struct Manners {
    /// How many lists do not show new resources yet.
    pub lag: u32,
    /// The most items of a page.
    pub page: usize,
    /// Which call that changes something loses its reply: each so many; 0 loses none.
    pub lose_every: u64,
    /// How many looks an operation goes on for.
    pub pending: u32,
    /// How clients are told to follow operations on machines.
    pub way: Way,
    /// Whether clients are told to look again at once, beside the second that is the least of
    /// `Retry-After`.
    pub hurry: bool,
    /// How many more machines of a size there is room for; sizes without an entry have no limit.
    pub room: BTreeMap<String, u32>,
    /// Numbers of the zones that have room for no machine.
    pub full: BTreeSet<String>,
    /// Sizes that the subscription may not have.
    pub unavailable: BTreeSet<String>,
    /// How many cores the subscription may have.
    pub cores: u64,
    /// How many of spot machines.
    pub spot_cores: u64,
    /// Each so many calls of a name are throttled; 0 throttles none.
    pub throttle_every: BTreeMap<String, u64>,
    /// How many calls are told to be left.
    pub remaining: u64,
    /// Answers to give in place of the double's, each once.
    pub refusals: Vec<Refusal>,
    /// Where a client hangs, so that it can be killed there.
    pub halt: Option<Halt>,
    /// Whether versions of the API before the described one are taken as well, as Azure takes
    /// them: its command line asks for a different one with each command.
    pub older: bool,
    /// What the caller may do; everything when absent.
    pub role: Option<BTreeSet<String>>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            lag: 0,
            page: 250,
            lose_every: 0,
            pending: 0,
            way: Way::default(),
            hurry: true,
            room: BTreeMap::new(),
            full: BTreeSet::new(),
            unavailable: BTreeSet::new(),
            cores: 100_000,
            spot_cores: 100_000,
            throttle_every: BTreeMap::new(),
            remaining: 10_000,
            refusals: Vec::new(),
            halt: None,
            older: false,
            role: None,
        }
    }
}

/// How clients are told to follow an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// By the operation, and where its result will be.
    #[default]
    Operation,
    /// By where its result will be alone.
    Location,
    /// By the resource itself alone.
    State,
}

/// The call at which a client hangs: it never gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The number of the call among those that change something, from 1.
    pub change: u64,
    /// Whether the call has had its effect.
    pub is_done: bool,
}

/// An answer to give in place of the double's.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The name of the operation, such as `VirtualMachines.create_or_update`.
    pub operation: String,
    /// The status.
    pub status: u16,
    /// The error's code.
    pub code: String,
    /// What it says.
    pub message: String,
    /// Whether an interface was made before it failed, which stays.
    pub leaves_interface: bool,
}

impl Refusal {
    /// Makes one that leaves nothing behind.
    pub fn new(operation: &str, status: u16, code: &str, message: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            leaves_interface: false,
        }
    }
}
