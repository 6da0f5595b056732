//! What membership costs: requests, CPU time, peak memory and wall time of writing it into a
//! cluster, and of finding nothing to write, beside `kubectl apply --server-side` of the same
//! objects on the same kind of cluster.
//!
//! `cargo bench --bench mesh` prints a table; `-- 100` measures with so many machines. The cluster
//! is the lab's double, in this process: its own work is in the wall times, and in nothing else. It
//! needs the kubectl that `tests/lab/kubectl` gets.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use kube::api::{DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use meshvm_lab::kube::{Cluster, ClusterOptions};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Value, json};
use tempfile::TempDir;

const MACHINES: u32 = 1_000;

const MEMBERSHIP: &str = "    membership:
      namespace: vm
      serviceAccount: web
      labels: {app: web}
      ports: {http: 8080}
      service: {ports: [{name: http, port: 8080}]}
";

/// The argument that makes this program run another as its only child: what the system counts for
/// finished children is then that one's.
const MEASURE: &str = "measure";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, program, rest @ ..] = arguments.as_slice()
        && first == MEASURE
    {
        return measure(program, rest);
    }
    let machines = arguments.iter().find_map(|arg| arg.parse().ok());
    let machines = machines.unwrap_or(MACHINES);
    let kubectl = kubectl()?;
    println!("{machines} machines\n");
    println!("what                                 requests  CPU s  peak MB  wall s");

    let own = Ground::new(machines, "kubernetes: {context: lab, clusterId: lab}").await?;
    own.row("meshvm apply", &meshvm(), &["apply", "-y"])?;
    own.row("meshvm plan, nothing to change", &meshvm(), &["plan"])?;

    let other = Ground::new(machines, "manifests: {path: mesh}").await?;
    other.run(&meshvm(), &["apply", "-y"])?;
    let apply = [
        "apply",
        "--server-side",
        "--recursive",
        "--filename",
        "mesh",
    ];
    other.row("kubectl apply --server-side", &kubectl, &apply)?;
    other.row("kubectl apply, nothing to change", &kubectl, &apply)?;
    Ok(())
}

/// A cluster, and a stack whose machines are there and not in it yet.
struct Ground {
    cluster: Cluster,
    folder: TempDir,
}

impl Ground {
    async fn new(machines: u32, mesh: &str) -> Result<Self, Box<dyn Error>> {
        let cluster = Cluster::start(ClusterOptions::default()).await?;
        let client = cluster.client().await?;
        for name in ["istio-system", "vm"] {
            create(
                &client,
                "Namespace",
                None,
                json!({"metadata": {"name": name}}),
            )
            .await?;
        }
        let config = json!({"metadata": {"name": "istio"}, "data": {"mesh": "{}"}});
        create(&client, "ConfigMap", Some("istio-system"), config).await?;
        let ground = Self {
            cluster,
            folder: tempfile::tempdir()?,
        };
        let file = format!(
            "apiVersion: meshvm/v1\nstack: bench\nfleets:\n  web:\n    replicas: {machines}\n    sim: {{}}\n"
        );
        let path = ground.folder.path().join("meshvm.yaml");
        std::fs::write(ground.kubeconfig(), ground.cluster.kubeconfig())?;
        std::fs::write(&path, &file)?;
        ground.run(&meshvm(), &["apply", "-y"])?;
        std::fs::write(&path, format!("{file}{MEMBERSHIP}mesh:\n  {mesh}\n"))?;
        Ok(ground)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Runs a program, and returns its CPU seconds and peak memory in MiB.
    fn run(&self, program: &Path, arguments: &[&str]) -> Result<(f64, i64), Box<dyn Error>> {
        let output = Command::new(std::env::current_exe()?)
            .arg(MEASURE)
            .arg(program)
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let told = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(
            told.lines().last().unwrap_or_default(),
        )?)
    }

    fn row(&self, what: &str, program: &Path, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
        self.cluster.requests().reset();
        let begun = Instant::now();
        let (cpu, memory) = self.run(program, arguments)?;
        let wall = begun.elapsed().as_secs_f64();
        let requests = self.cluster.requests().total();
        println!("{what:<35}  {requests:>8}  {cpu:>5.2}  {memory:>7}  {wall:>6.1}");
        Ok(())
    }
}

async fn create(
    client: &Client,
    kind: &str,
    namespace: Option<&str>,
    mut object: Value,
) -> Result<(), Box<dyn Error>> {
    object["apiVersion"] = json!("v1");
    object["kind"] = json!(kind);
    let resource = kube::api::ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    Ok(())
}

fn measure(program: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let output = Command::new(program).args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    println!("{}", json!([cpu, usage.max_rss() / 1024]));
    Ok(())
}

fn meshvm() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_meshvm"))
}

/// Returns the kubectl that the lab is tried with.
fn kubectl() -> Result<PathBuf, Box<dyn Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/kubectl");
    let got = Command::new(script).output()?;
    if !got.status.success() {
        return Err(String::from_utf8_lossy(&got.stderr).into_owned().into());
    }
    let told = String::from_utf8(got.stdout)?;
    Ok(PathBuf::from(told.lines().last().unwrap_or_default()))
}
