//! End to end: real machines of this computer, in a mesh of the lab, with the real Envoy.
//!
//! Needs root, and what `examples/setup container tests` installs.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use kube::api::ListParams;
use meshvm_lab::istiod::{Gateway, Istiod, IstiodOptions};
use meshvm_lab::kube::{Cluster, ClusterOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::ground::Ground;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An address of documentation (RFC 5737), on this computer for as long as the test runs: machines
/// reach it, and nobody else does.
const CONTROL_PLANE: &str = "198.51.100.14";

/// An address on the loopback device.
struct Address;

impl Address {
    fn add() -> Result<Self> {
        // A run that was killed may have left it.
        ip(&[
            "address",
            "replace",
            &format!("{CONTROL_PLANE}/32"),
            "dev",
            "lo",
        ])?;
        Ok(Self)
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        ip(&[
            "address",
            "del",
            &format!("{CONTROL_PLANE}/32"),
            "dev",
            "lo",
        ])
        .ok();
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let ran = Command::new("ip").args(arguments).output()?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into()),
    }
}

/// The example, as it is, in a folder of its own.
struct Example {
    folder: TempDir,
    data_dir: PathBuf,
}

impl Example {
    fn new(kubeconfig: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let cache = cache_dir()?;
        fs::copy(
            repository.join("examples/mesh/meshvm.yaml"),
            folder.path().join("meshvm.yaml"),
        )?;
        let built = Command::new(repository.join("tests/lab/sidecar/build"))
            .arg(cache.join("istio-sidecar"))
            .output()?;
        let line = String::from_utf8(built.stdout)?;
        let told = String::from_utf8_lossy(&built.stderr).into_owned();
        let (package, sha256) = line.trim().split_once('\t').ok_or(told)?;
        let own = format!(
            "mesh: {{kubernetes: {{}}}}\nsidecar:\n  version: 1.30.3+lab1\n  packages: \
             [{{format: deb, arch: amd64, path: \"{package}\", sha256: {sha256}}}]\n"
        );
        fs::write(folder.path().join("sidecar.yaml"), own)?;
        fs::write(folder.path().join("kubeconfig"), kubeconfig)?;
        Ok(Self {
            folder,
            data_dir: cache.join("test-container"),
        })
    }

    fn meshvm(&self, line: &str) -> Result<Output> {
        let output = Command::new(env!("CARGO_BIN_EXE_meshvm"))
            .args(line.split_whitespace())
            .args(["-f", "meshvm.yaml", "-f", "sidecar.yaml"])
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("MESHVM_DATA_DIR", &self.data_dir)
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path())
            .output()?;
        Ok(output)
    }

    fn succeed(&self, line: &str) -> Result<String> {
        let output = self.meshvm(line)?;
        let told = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?),
            false => Err(format!("meshvm {line}: {}\n{told}", output.status).into()),
        }
    }

    /// Returns the first machine of a fleet once the mesh says that it is healthy: a sidecar that
    /// connects anew, as it may at any time, reports nothing until its next probe.
    fn healthy(&self, fleet: &str) -> Result<Value> {
        let mut machine = self.machine(fleet)?;
        for _ in 0..60 {
            if machine["mesh"]["state"] == "healthy" {
                return Ok(machine);
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
            machine = self.machine(fleet)?;
        }
        Err(format!("it does not become healthy: {machine}").into())
    }

    /// Returns the only machine of a fleet.
    fn machine(&self, fleet: &str) -> Result<Value> {
        let status: Value = serde_json::from_str(&self.succeed("status --format json")?)?;
        Ok(status["status"]["fleets"][fleet]["machines"][0].clone())
    }

    /// Returns the process that supervises a machine, if it runs.
    fn supervisor(&self, machine: &Value) -> Result<Option<Pid>> {
        let name = format!("--machine={}", machine["name"].as_str().unwrap_or_default());
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let Some(pid) = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok())
            else {
                continue;
            };
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&name) {
                return Ok(Some(Pid::from_raw(pid)));
            }
        }
        Ok(None)
    }

    /// Runs a command on a machine, and returns what it prints.
    fn inside(&self, machine: &Value, command: &[&str]) -> Result<String> {
        self.fed(machine, command, Stdio::null())
    }

    /// The same with something for it to read.
    fn fed(&self, machine: &Value, command: &[&str], input: Stdio) -> Result<String> {
        let supervisor = self
            .supervisor(machine)?
            .ok_or("the machine does not run")?;
        let children = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = fs::read_to_string(children)?;
        let first = children
            .split_whitespace()
            .next()
            .ok_or("the machine has no processes")?;
        let ran = Command::new("nsenter")
            .args(["-t", first, "-m", "-n", "-p", "--"])
            .args(command)
            .stdin(input)
            .output()?;
        match ran.status.success() {
            true => Ok(String::from_utf8(ran.stdout)?),
            false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&ran.stderr)).into()),
        }
    }

    /// Calls the service from the caller until it answers.
    fn call(&self) -> Result<String> {
        let caller = self.machine("caller")?;
        let curl = [
            "curl",
            "-s",
            "-f",
            "--max-time",
            "5",
            "http://hello.vm.svc/",
        ];
        let mut last = None;
        for _ in 0..120 {
            match self.inside(&caller, &curl) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
        Err(last.unwrap_or_else(|| "it was never called".into()))
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // A test that failed must not leave machines behind either.
        self.meshvm("destroy -y --override-budgets").ok();
    }
}

fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(cache.ok_or("HOME is not set")?.join("meshvm"))
}

async fn named(ground: &Ground, version: &str, kind: &str) -> Vec<String> {
    let api = ground.api(version, kind, Some("vm"));
    let own = ListParams::default().labels("meshvm-stack=hello");
    let listed = api.list(&own).await.unwrap();
    let names = listed
        .items
        .into_iter()
        .filter_map(|object| object.metadata.name);
    names.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_machines_join_a_mesh_and_call_each_other() -> Result<()> {
    let _address = Address::add()?;
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let client = cluster.client().await?;
    let istiod = Istiod::start(IstiodOptions {
        listen: format!("{CONTROL_PLANE}:15012").parse()?,
        gateway: Gateway::Ip(CONTROL_PLANE.parse()?),
        ..IstiodOptions::new(client)
    })
    .await?;
    let ground = Ground::bare(cluster).await;
    ground
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vm"}}))
        .await;
    let maps = ground.api("v1", "ConfigMap", Some("vm"));
    while maps.get_opt("istio-ca-root-cert").await?.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let example = Example::new(&ground.cluster.kubeconfig())?;
    let example = tokio::task::spawn_blocking(move || -> std::result::Result<_, String> {
        join(&example).map_err(|error| error.to_string())?;
        Ok(example)
    })
    .await??;

    assert_eq!(named(&ground, "v1", "Secret").await.len(), 2);
    let fewer = example.machine("caller")?["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let example = tokio::task::spawn_blocking(move || -> std::result::Result<_, String> {
        let gone = "apply -y --var callers=0 --override-budgets";
        example.succeed(gone).map_err(|error| error.to_string())?;
        Ok(example)
    })
    .await??;
    let entries = named(&ground, "networking.istio.io/v1", "WorkloadEntry").await;
    let secrets = named(&ground, "v1", "Secret").await;
    assert_eq!((entries.len(), secrets.len()), (1, 1));
    assert!(!entries.contains(&fewer), "its entry goes with the machine");
    assert!(
        !secrets.contains(&format!("meshvm-{fewer}")),
        "its token is revoked"
    );

    tokio::task::spawn_blocking(move || -> std::result::Result<_, String> {
        let destroyed = example.succeed("destroy -y");
        destroyed.map_err(|error| error.to_string())
    })
    .await??;
    for (version, kind) in [
        ("v1", "Secret"),
        ("networking.istio.io/v1", "WorkloadEntry"),
    ] {
        assert_eq!(named(&ground, version, kind).await, [""; 0], "{kind}");
    }
    istiod.stop().await;
    Ok(())
}

/// Boots the machines, lets one call the other, and one of them go down and come back.
fn join(example: &Example) -> Result<()> {
    example.succeed("apply -y")?;
    let hello = example.healthy("hello")?;
    let answer = example.call()?;
    assert!(
        answer.contains("By=spiffe://cluster.local/ns/vm/sa/hello\n"),
        "{answer}"
    );
    assert!(
        answer.contains("URI=spiffe://cluster.local/ns/vm/sa/caller\n"),
        "{answer}"
    );
    // Who has no certificate of the mesh is not let in.
    let address = hello["address"].as_str().ok_or("no address")?;
    let plain = Command::new("curl")
        .args(["-s", "--max-time", "5", &format!("http://{address}:8080/")])
        .output()?;
    assert!(
        !plain.status.success(),
        "{}",
        String::from_utf8_lossy(&plain.stdout)
    );

    let caller = example.machine("caller")?;
    let tokens = "find /var/run/secrets/tokens /var/lib/cloud/seed/nocloud/private -type f";
    assert_eq!(
        example.inside(&caller, &["sh", "-c", tokens])?,
        "",
        "tokens are left"
    );
    let modes =
        "stat -c %a%U /etc/certs/key.pem /var/lib/istio/envoy/cluster.env /etc/istio/config/mesh";
    let modes = example.inside(&caller, &["sh", "-c", modes])?;
    assert_eq!(modes, "600istio-proxy\n600istio-proxy\n600istio-proxy\n");

    let supervisor = example
        .supervisor(&caller)?
        .ok_or("the machine does not run")?;
    kill(supervisor, Signal::SIGTERM)?;
    while example.supervisor(&caller)?.is_some() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    example.succeed("apply -y")?;
    assert_eq!(
        example.machine("caller")?["name"],
        caller["name"],
        "it was started again"
    );
    example.call()?;
    renewed(example)
}

/// Gives machines another bootstrap in place, as the guide says: they stay, and their certificates
/// get them the next ones. From then on they look up where the gateway is.
fn renewed(example: &Example) -> Result<()> {
    let change = |name: &str, before: &str, after: &str| -> Result<()> {
        let file = example.folder.path().join(name);
        let text = fs::read_to_string(&file)?;
        assert!(text.contains(before), "{text}");
        Ok(fs::write(&file, text.replace(before, after))?)
    };
    change("meshvm.yaml", "periodSeconds: 2", "periodSeconds: 3")?;
    let gateway = "{kubernetes: {eastWest: {address: gateway.test}}}";
    change("sidecar.yaml", "{kubernetes: {}}", gateway)?;
    let plan = example.succeed("plan")?;
    assert!(plan.contains("2 to replace"), "{plan}");
    example.succeed("render --out rendered")?;

    let mut names = Vec::new();
    for fleet in ["hello", "caller"] {
        let machine = example.machine(fleet)?;
        let seen = |line: &str| example.inside(&machine, &["sh", "-c", line]);
        let agent = "systemctl show --property=MainPID istio";
        let ran = seen(agent)?;
        seen(&format!("echo {CONTROL_PLANE} gateway.test >>/etc/hosts"))?;
        let rendered = format!("rendered/{fleet}/user-data");
        let user_data = fs::File::open(example.folder.path().join(rendered))?;
        let save = ["sh", "-c", "cat >/root/user-data"];
        example.fed(&machine, &save, user_data.into())?;
        seen("cloud-init --file /root/user-data single --name write_files --frequency always")?;
        seen("bash /var/lib/meshvm/bootstrap/bootstrap.sh")?;
        // It was given no token.
        seen("test ! -e /var/run/secrets/tokens/istio-token")?;
        // Where nothing of it changed, the sidecar goes on.
        assert_eq!(seen(agent)? == ran, fleet == "caller", "{fleet}");
        assert_eq!(seen("systemctl is-active meshvm-hosts.timer")?, "active\n");
        // As the timer does.
        seen("sed -i s/^198.51.100.14/198.51.100.15/ /etc/hosts")?;
        seen("sed -i 's/^198.51.100.15 gateway/198.51.100.14 gateway/' /etc/hosts")?;
        seen("systemctl start meshvm-hosts.service")?;
        let hosts = seen("grep istiod.istio-system.svc /etc/hosts")?;
        assert!(hosts.starts_with(CONTROL_PLANE), "{hosts}");
        names.push(machine["name"].as_str().ok_or("no name")?.to_owned());
    }
    let hello = example.machine("hello")?;
    let told = example.inside(&hello, &["cat", "/etc/istio/config/mesh"])?;
    assert!(told.contains("periodSeconds: 3"), "{told}");

    let names = names.join(" --bootstrapped ");
    example.succeed(&format!("apply -y --bootstrapped {names}"))?;
    assert_eq!(example.machine("hello")?["name"], hello["name"]);
    example.succeed("plan --detailed-exitcode")?;
    example.healthy("hello")?;
    example.call()?;
    Ok(())
}
