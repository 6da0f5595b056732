//! A double, and a folder to run the program in.

use std::collections::BTreeMap;
use std::process::Command;

use meshvm_arm::{
    Arm, Authority, GROUP, Halt, LOCATION, Machine, Manners, SECRET, SUBSCRIPTION, TENANT,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::cloud::{self, Cloud, Found};
use crate::support::program::Sandbox;

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

impl Cloud for Ground {
    const PROVIDER: &'static str = "azure";

    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// It trusts the double, and is an application with a secret.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command
            .env("SSL_CERT_FILE", self.authority.certificate())
            .env("AZURE_TENANT_ID", TENANT)
            .env("AZURE_CLIENT_ID", "meshvm-tests")
            .env("AZURE_CLIENT_SECRET", SECRET);
        command
    }

    fn block(&self) -> Value {
        json!({
            "subscription": SUBSCRIPTION,
            "location": LOCATION,
            "resourceGroup": GROUP,
            "vmSize": "Standard_D2s_v5",
            "image": {"publisher": "Debian", "offer": "debian-12", "sku": "12-gen2"},
            "subnet": "net/default",
            "sshPublicKey": "ssh-ed25519 AAAA",
            "endpoints": {"resourceManager": self.arm.endpoint(), "authority": self.arm.endpoint()},
        })
    }

    fn found(&self) -> Vec<Found> {
        let machines = self.machines().into_iter();
        let found = machines.map(|machine| Found {
            entry: machine.name,
            labels: machine.tags,
        });
        found.collect()
    }

    fn halt(&self, change: u64, is_done: bool) {
        self.arm.halt(Some(Halt { change, is_done }));
    }

    fn go_on(&self) {
        self.arm.halt(None);
    }

    fn is_halted(&self) -> bool {
        self.arm.is_halted()
    }

    fn troubles(&self) -> (u64, u64) {
        (self.arm.lost(), self.arm.throttled())
    }
}

/// Returns a fleet that is a member of the mesh.
pub fn member(name: &str, replicas: u32, block: &Value) -> Value {
    cloud::member("azure", name, replicas, block)
}
