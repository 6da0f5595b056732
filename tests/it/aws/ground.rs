//! A server, a proxy and a folder to run the program in.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;

use meshvm_ec2::{Instance, Manners, Moto, Proxy};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::program::{Ran, Sandbox, finish};

pub const REGION: &str = "eu-west-1";

static MOTO: LazyLock<Moto> = LazyLock::new(Moto::start);

/// An account of its own, and a folder with a fleet file.
pub struct Ground {
    runtime: Runtime,
    pub proxy: Proxy,
    pub sandbox: Sandbox,
}

impl Ground {
    pub fn new(manners: Manners) -> Self {
        let runtime = Runtime::new().unwrap();
        let proxy = runtime.block_on(Proxy::start(MOTO.address(), manners));
        Self {
            runtime,
            proxy,
            sandbox: Sandbox::new(),
        }
    }

    /// Writes the fleet file: fleets by name, each with its replicas and changes to its block.
    pub fn write(&self, fleets: &BTreeMap<&str, Value>) {
        self.write_file(fleets, "file://.meshvm");
    }

    pub fn write_file(&self, fleets: &BTreeMap<&str, Value>, ledger: &str) {
        let fleets: BTreeMap<&str, Value> = fleets
            .iter()
            .map(|(&name, fleet)| {
                let mut block = json!({
                    "region": REGION,
                    "instanceType": "m7g.large",
                    "image": {"ssm":
                        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"},
                    "endpoint": self.proxy.endpoint(),
                });
                for (key, value) in fleet["aws"].as_object().unwrap() {
                    block[key] = value.clone();
                }
                let mut fleet = fleet.clone();
                fleet["aws"] = block;
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
        self.sandbox.write("meshvm.yaml", &text);
    }

    /// Prepares a command with credentials that the server does not check.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox.command(args);
        command
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", self.proxy.endpoint())
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Runs a command line: words parted by blanks.
    pub fn meshvm(&self, line: &str) -> Ran {
        let args: Vec<&str> = line.split_whitespace().collect();
        finish(self.command(&args).spawn().unwrap())
    }

    /// Returns the machines that there are.
    pub fn instances(&self) -> Vec<Instance> {
        let found = self.proxy.instances(REGION);
        self.runtime.block_on(found).unwrap()
    }

    pub fn terminate(&self, id: &str) {
        let ended = self.proxy.terminate(REGION, id);
        self.runtime.block_on(ended).unwrap();
    }

    /// Sends a call as somebody else.
    pub fn ask(&self, service: &str, region: &str, parameters: &[(&str, &str)]) -> String {
        let asked = self.proxy.ask(service, region, parameters);
        self.runtime.block_on(asked).unwrap()
    }

    pub fn make_bucket(&self, name: &str) {
        self.runtime.block_on(self.proxy.make_bucket(name)).unwrap();
    }

    /// Returns how often each call was made since the last look.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let calls = self.proxy.calls();
        self.proxy.forget_calls();
        calls
    }
}

/// Returns a fleet that is a member of the mesh.
pub fn member(name: &str, replicas: u32, block: &Value) -> Value {
    json!({
        "replicas": replicas,
        "aws": block,
        "membership": {
            "namespace": "vm",
            "serviceAccount": name,
            "labels": {"app": name},
            "ports": {"http": 8080},
        },
        "rollout": {"maxSurge": "50%", "maxUnavailable": 0},
    })
}
