//! A server, a proxy and a folder to run the program in.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::LazyLock;

use meshvm_ec2::{Halt, Instance, Manners, Moto, Proxy};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::cloud::{self, Cloud, Found};
use crate::support::program::Sandbox;

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

impl Cloud for Ground {
    const PROVIDER: &'static str = "aws";

    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The server does not check the credentials.
    fn command(&self, args: &[&str]) -> Command {
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

    fn block(&self) -> Value {
        json!({
            "region": REGION,
            "instanceType": "m7g.large",
            "image": {"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"},
            "endpoint": self.proxy.endpoint(),
        })
    }

    fn found(&self) -> Vec<Found> {
        let instances = self.instances().into_iter();
        let found = instances.map(|instance| Found {
            entry: instance.id,
            labels: instance.tags,
        });
        found.collect()
    }

    fn halt(&self, change: u64, is_done: bool) {
        self.proxy.halt(Some(Halt { change, is_done }));
    }

    fn go_on(&self) {
        self.proxy.halt(None);
    }

    fn is_halted(&self) -> bool {
        self.proxy.is_halted()
    }

    fn troubles(&self) -> (u64, u64) {
        (self.proxy.lost(), self.proxy.throttled())
    }
}

/// Returns a fleet that is a member of the mesh.
pub fn member(name: &str, replicas: u32, block: &Value) -> Value {
    cloud::member("aws", name, replicas, block)
}
