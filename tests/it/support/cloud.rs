//! What the tests of every cloud have in common: a folder with a fleet file, and a double of the
//! cloud that the program talks to.

pub mod crash;
pub mod figures;
pub mod kill;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};

use super::program::{Ran, Sandbox, finish};

/// A double of a cloud, and a folder to run the program in.
pub trait Cloud {
    /// The provider's name, and the key of its block.
    const PROVIDER: &'static str;

    /// Returns the folder.
    fn sandbox(&self) -> &Sandbox;

    /// Prepares a command with credentials that the double takes.
    fn command(&self, args: &[&str]) -> Command;

    /// Returns the least block of a fleet on the double.
    fn block(&self) -> Value;

    /// Returns the machines that there are, and looks that nothing is left of others.
    fn found(&self) -> Vec<Found>;

    /// Makes the program hang at a call that changes something, by its number from 1: once it has
    /// had its effect, or before.
    fn halt(&self, change: u64, is_done: bool);

    /// Lets calls through again.
    fn go_on(&self);

    /// Returns whether the program hangs.
    fn is_halted(&self) -> bool;

    /// Returns how many replies were lost, and how many calls were throttled.
    fn troubles(&self) -> (u64, u64);

    /// Writes the fleet file: fleets by name, each with its replicas and changes to its block.
    fn write(&self, fleets: &BTreeMap<&str, Value>) {
        self.write_file(fleets, "file://.meshvm");
    }

    /// Writes the fleet file, with its ledger elsewhere.
    fn write_file(&self, fleets: &BTreeMap<&str, Value>, ledger: &str) {
        let fleets: BTreeMap<&str, Value> = fleets
            .iter()
            .map(|(&name, fleet)| {
                let mut block = self.block();
                for (key, value) in fleet[Self::PROVIDER].as_object().unwrap() {
                    block[key] = value.clone();
                }
                let mut fleet = fleet.clone();
                fleet[Self::PROVIDER] = block;
                (name, fleet)
            })
            .collect();
        let file = json!({
            "apiVersion": "meshvm/v1",
            "stack": "shop",
            "ledger": ledger,
            "mesh": {"manifests": {"path": "mesh"}},
            "budgets": {"destroy": "100%", "replace": "100%"},
            "fleets": fleets,
        });
        let text = serde_json::to_string_pretty(&file).unwrap();
        self.sandbox().write("meshvm.yaml", &text);
    }

    /// Runs a command line: words parted by blanks.
    fn meshvm(&self, line: &str) -> Ran {
        let args: Vec<&str> = line.split_whitespace().collect();
        finish(self.command(&args).spawn().unwrap())
    }
}

/// A machine that there is.
#[derive(Clone, Debug)]
pub struct Found {
    /// What its WorkloadEntry is named after.
    pub entry: String,
    /// Its labels or tags.
    pub labels: BTreeMap<String, String>,
}

impl Found {
    fn is_of(&self, fleet: &str) -> bool {
        self.labels["meshvm-fleet"] == fleet
    }
}

/// Which of two images a fleet is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    Old,
    New,
}

impl Image {
    /// Returns the name of it.
    pub fn of<'a>(self, old: &'a str, new: &'a str) -> &'a str {
        match self {
            Self::Old => old,
            Self::New => new,
        }
    }
}

/// Returns a fleet that is a member of the mesh.
pub fn member(provider: &str, name: &str, replicas: u32, block: &Value) -> Value {
    json!({
        "replicas": replicas,
        provider: block,
        "membership": {
            "namespace": "vm",
            "serviceAccount": name,
            "labels": {"app": name},
            "ports": {"http": 8080},
        },
        "rollout": {"maxSurge": "50%", "maxUnavailable": 0},
    })
}
