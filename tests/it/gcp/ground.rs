//! A double, and a folder to run the program in.

use std::collections::BTreeMap;
use std::process::Command;

use meshvm_gce::{Gce, Halt, Manners};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::cloud::{self, Cloud, Found};
use crate::support::program::Sandbox;

pub const PROJECT: &str = "acme-vms";
pub const REGION: &str = "europe-west1";
/// An image, and the newest of the same family.
pub const OLD: &str = "debian-12-bookworm-v20260801";
pub const NEW: &str = "debian-12-bookworm-v20260901";

/// A project of its own, and a folder with a fleet file and credentials.
pub struct Ground {
    pub gce: Gce,
    pub sandbox: Sandbox,
    // The double runs on it.
    _runtime: Runtime,
}

impl Ground {
    pub fn new(manners: Manners) -> Self {
        let runtime = Runtime::new().unwrap();
        let gce = runtime.block_on(Gce::start(manners));
        let sandbox = Sandbox::new();
        sandbox.write("credentials.json", &gce.credentials().to_string());
        Self {
            gce,
            sandbox,
            _runtime: runtime,
        }
    }

    /// Returns the machines that there are, and looks that each has its disk and that there are
    /// no others.
    pub fn machines(&self) -> Vec<Value> {
        let machines = self.gce.instances();
        let disks = self.gce.disks();
        assert_eq!(disks.len(), machines.len(), "{disks:?}");
        machines
    }

    /// Somebody else does something to a machine.
    pub fn others(&self, verb: &str, machine: &Value, what: &str) {
        let link = machine["selfLink"].as_str().unwrap();
        let (_, path) = link.split_once("/compute/v1/").unwrap();
        let path = format!("/compute/v1/{path}{what}");
        self.gce.ask(verb, &path, None);
    }

    /// Returns how often each call arrived since the last look.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.gce.calls();
        self.gce.forget_calls();
        calls
    }
}

impl Cloud for Ground {
    const PROVIDER: &'static str = "gcp";

    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        let credentials = self.sandbox.path("credentials.json");
        command.env("GOOGLE_APPLICATION_CREDENTIALS", credentials);
        command
    }

    fn block(&self) -> Value {
        json!({
            "project": PROJECT,
            "region": REGION,
            "machineType": "e2-small",
            "image": {"project": "debian-cloud", "family": "debian-12"},
            "endpoint": self.gce.endpoint(),
        })
    }

    fn found(&self) -> Vec<Found> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let machines = self.machines().into_iter();
        let found = machines.map(|machine| {
            let labels = machine["labels"].as_object().unwrap().iter();
            Found {
                entry: text(&machine["name"]),
                labels: labels
                    .map(|(key, value)| (key.clone(), text(value)))
                    .collect(),
            }
        });
        found.collect()
    }

    fn halt(&self, change: u64, is_done: bool) {
        self.gce.halt(Some(Halt { change, is_done }));
    }

    fn go_on(&self) {
        self.gce.halt(None);
    }

    fn is_halted(&self) -> bool {
        self.gce.is_halted()
    }

    fn troubles(&self) -> (u64, u64) {
        (self.gce.lost(), self.gce.throttled())
    }
}

/// Returns a fleet that is a member of the mesh.
pub fn member(name: &str, replicas: u32, block: &Value) -> Value {
    cloud::member("gcp", name, replicas, block)
}
