//! The example with three clouds in one mesh, on moto, on the doubles of Compute Engine and Azure
//! Resource Manager, and on the lab's double of a Kubernetes API, all at once.
//!
//! `MESHVM_KILLS` kills more or less often than by default, `MESHVM_KILL_SEED` draws another series.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::Duration;

use kube::ResourceExt as _;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::cluster::ground::{Ground as Mesh, NAMESPACE};
use crate::support::cloud::{Cloud, Found};
use crate::support::draw::Draw;
use crate::support::program::{Ran, finish};
use crate::{aws, azure, gcp};

const EXAMPLE: &str = include_str!("../../examples/clouds/meshvm.yaml");
/// How often a series kills.
const KILLS: u32 = 10;

struct Ground {
    aws: aws::ground::Ground,
    azure: azure::ground::Ground,
    gcp: gcp::ground::Ground,
    mesh: Mesh,
    runtime: Runtime,
}

impl Ground {
    /// Starts all of them; calls of each cloud get lost, and its listings lag.
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let ground = Self {
            aws: aws::ground::Ground::new(meshvm_ec2::Manners {
                lag: 2,
                lose_every: 5,
                ..meshvm_ec2::Manners::default()
            }),
            azure: azure::ground::Ground::new(meshvm_arm::Manners {
                lag: 2,
                lose_every: 5,
                pending: 1,
                ..meshvm_arm::Manners::default()
            }),
            gcp: gcp::ground::Ground::new(meshvm_gce::Manners {
                lag: 2,
                lose_every: 5,
                ..meshvm_gce::Manners::default()
            }),
            mesh: runtime.block_on(Mesh::new()),
            runtime,
        };
        ground.sandbox().write("meshvm.yaml", EXAMPLE);
        // Where each is here; the doubles have fewer images than the clouds.
        let block = |block: Value, names: &[&str]| {
            let own = names
                .iter()
                .map(|&name| (name.to_owned(), block[name].clone()));
            Value::Object(own.collect())
        };
        let azure = ["endpoints", "subscription", "resourceGroup"];
        let here = json!({
            "mesh": {"kubernetes": {"context": "lab"}},
            "budgets": {"destroy": "100%", "replace": "100%"},
            "fleets": {
                "carts": {"aws": block(ground.aws.block(), &["endpoint"])},
                "orders": {"gcp": block(ground.gcp.block(), &["endpoint", "project", "image"])},
                "web": {"azure": block(ground.azure.block(), &azure)},
            },
        });
        ground.sandbox().write("here.yaml", &here.to_string());
        ground
    }

    fn command(&self, line: &str) -> Command {
        let mut args: Vec<&str> = line.split_whitespace().collect();
        args.extend(["-f", "meshvm.yaml", "-f", "here.yaml"]);
        let mut command = self.aws.command(&args);
        let own: Vec<_> = command
            .get_envs()
            .map(|(name, _)| name.to_owned())
            .collect();
        for other in [self.azure.command(&[]), self.gcp.command(&[])] {
            for (name, value) in other.get_envs() {
                if let Some(value) = value.filter(|_| !own.iter().any(|it| it == name)) {
                    command.env(name, value);
                }
            }
        }
        command.env("KUBECONFIG", self.mesh.kubeconfig());
        command
    }

    fn meshvm(&self, line: &str) -> Ran {
        finish(self.command(line).spawn().unwrap())
    }

    /// Returns the machines of each cloud, which looks that nothing is left of others.
    fn found(&self) -> [Vec<Found>; 3] {
        [self.aws.found(), self.gcp.found(), self.azure.found()]
    }

    /// Returns the names of the stack's objects in the mesh.
    fn objects(&self, version: &str, kind: &str) -> Vec<String> {
        let api = self.mesh.api(version, kind, Some(NAMESPACE));
        let of_stack = kube::api::ListParams::default().labels("meshvm-stack=shop");
        let listed = self.runtime.block_on(api.list(&of_stack)).unwrap();
        let names = listed.items.into_iter().filter_map(|it| it.metadata.name);
        names.collect()
    }

    fn entries(&self) -> Vec<String> {
        self.objects("networking.istio.io/v1", "WorkloadEntry")
    }

    fn sandbox(&self) -> &crate::support::program::Sandbox {
        self.aws.sandbox()
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn machines_of_three_clouds_are_members_of_one_mesh_however_often_a_run_is_killed() {
    let ground = Ground::new();
    let seed = number("MESHVM_KILL_SEED").unwrap_or(1);
    let kills = number("MESHVM_KILLS").unwrap_or(u64::from(KILLS));
    let mut draw = Draw(seed);
    let (mut killed, mut history) = (0, String::new());
    while killed < kills {
        let replicas = 1 + draw.below(4);
        let after = Duration::from_millis(draw.below(6000));
        let mut command = ground.command(&format!("apply -y --var replicas={replicas}"));
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = command.spawn().unwrap();
        std::thread::sleep(after);
        run.kill().unwrap();
        let code = run.wait().unwrap().code();
        killed += u64::from(code.is_none());
        history.push_str(&format!("{replicas} for {after:?}: {code:?}\n"));
    }
    let ran = ground.meshvm("apply -y");
    history.push_str(&ran.all());
    assert_eq!(ran.code, Some(0), "seed {seed}\n{history}");
    assert!(!ran.all().contains("eyJ"), "a token is in the output");

    let mut names = Vec::new();
    for (of_cloud, fleet) in ground.found().iter().zip(["carts", "orders", "web"]) {
        assert_eq!(of_cloud.len(), 3, "{fleet}, seed {seed}\n{history}");
        for machine in of_cloud {
            assert_eq!(machine.labels["meshvm-fleet"], fleet, "{machine:?}");
            names.push(machine.entry.clone());
        }
    }
    names.sort();
    assert_eq!(ground.entries(), names, "seed {seed}\n{history}");
    let (mut networks, mut tokens) = (BTreeMap::new(), BTreeSet::new());
    let api = ground.mesh.istio("WorkloadEntry");
    for name in &names {
        let entry = ground.runtime.block_on(api.get(name)).unwrap();
        let network = entry.data["spec"]["network"].as_str().unwrap().to_owned();
        *networks.entry(network).or_insert(0) += 1;
        let token_of = entry.labels().get("meshvm-token").unwrap_or(name);
        tokens.insert(format!("meshvm-{token_of}"));
    }
    // A machine that began to leave has none; nobody has one who is not there.
    let found: BTreeSet<String> = ground.objects("v1", "Secret").into_iter().collect();
    assert!(
        found.is_subset(&tokens),
        "{found:?} {tokens:?}, seed {seed}\n{history}"
    );
    let each = ["aws", "azure", "gcp"].map(|cloud| (cloud.to_owned(), 3));
    assert_eq!(networks, BTreeMap::from(each));

    let planned = ground.meshvm("plan --detailed-exitcode");
    assert_eq!(planned.code, Some(0), "{}", planned.all());
    ground.meshvm("destroy -y").exits(0);
    assert!(
        ground.found().iter().all(Vec::is_empty),
        "{:?}",
        ground.found()
    );
    assert_eq!(ground.entries(), [""; 0]);
    assert_eq!(ground.objects("v1", "Secret"), [""; 0]);
}
