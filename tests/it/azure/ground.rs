//! A double, and a folder to run the program in.

use std::collections::BTreeMap;
use std::process::Command;

use meshvm_arm::{Arm, Authority, GROUP, LOCATION, Machine, Manners, SECRET, SUBSCRIPTION, TENANT};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::program::{Ran, Sandbox, finish};

/// A subscription of its own, and a folder with a fleet file.
pub struct Ground {
    pub arm: Arm,
    pub sandbox: Sandbox,
    authority: Authority,
    // Both are needed as long as the double runs.
    _folder: TempDir,
    _runtime: Runtime,
}

impl Ground {
    pub fn new(manners: Manners) -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::in_folder(folder.path());
        let arm = runtime.block_on(Arm::start(&authority, manners));
        Self {
            arm,
            sandbox: Sandbox::new(),
            authority,
            _folder: folder,
            _runtime: runtime,
        }
    }

    /// Writes the fleet file: fleets by name, each with its replicas and changes to its block.
    pub fn write(&self, fleets: &BTreeMap<&str, Value>) {
        let fleets: BTreeMap<&str, Value> = fleets
            .iter()
            .map(|(&name, fleet)| {
                let mut block = json!({
                    "subscription": SUBSCRIPTION,
                    "location": LOCATION,
                    "resourceGroup": GROUP,
                    "vmSize": "Standard_D2s_v5",
                    "image": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2"},
                    "subnet": "net/default",
                    "sshPublicKey": "ssh-ed25519 AAAA",
                    "endpoints": {"resourceManager": self.arm.endpoint(), "authority": self.arm.endpoint()},
                });
                for (key, value) in fleet["azure"].as_object().unwrap() {
                    block[key] = value.clone();
                }
                let mut fleet = fleet.clone();
                fleet["azure"] = block;
                (name, fleet)
            })
            .collect();
        let file = json!({
            "apiVersion": "meshvm/v1",
            "stack": "shop",
            "ledger": "file://.meshvm",
            "mesh": {"manifests": {"path": "mesh"}},
            "budgets": {"destroy": "100%", "replace": "100%"},
            "fleets": fleets,
        });
        let text = serde_json::to_string_pretty(&file).unwrap();
        self.sandbox.write("meshvm.yaml", &text);
    }

    /// Prepares a command that trusts the double, as an application with a secret.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command
            .env("SSL_CERT_FILE", self.authority.certificate())
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", "meshvm-tests")
            .env("AZURE_CLIENT_SECRET", SECRET);
        command
    }

    /// Runs a command line: words parted by blanks.
    pub fn meshvm(&self, line: &str) -> Ran {
        let args: Vec<&str> = line.split_whitespace().collect();
        finish(self.command(&args).spawn().unwrap())
    }

    /// Returns the machines that there are, and looks that each has its parts and that there are
    /// no others.
    pub fn machines(&self) -> Vec<Machine> {
        let machines = self.arm.machines();
        let parts = self.arm.parts();
        let of = |kind: &str| parts.iter().filter(|id| id.contains(kind)).count();
        assert_eq!(of("/networkinterfaces/"), machines.len(), "{parts:?}");
        assert_eq!(of("/disks/"), machines.len(), "{parts:?}");
        machines
    }

    /// Returns how often each operation was called since the last look.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.arm.calls();
        self.arm.forget_calls();
        calls
    }
}

/// Returns a fleet that is a member of the mesh.
pub fn member(name: &str, replicas: u32, block: &Value) -> Value {
    json!({
        "replicas": replicas,
        "azure": block,
        "membership": {
            "namespace": "vm",
            "serviceAccount": name,
            "labels": {"app": name},
            "ports": {"http": 8080},
        },
        "rollout": {"maxSurge": "50%", "maxUnavailable": 0},
    })
}
