//! End to end: the bookinfo example boots as real machines of this computer.
//!
//! Needs root and the tools that `examples/setup container vm` installs; what
//! is missing fails the test with its own hint. Base images are kept in the
//! user's cache folder, so that only the first run builds them.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The port on which the example's Envoy answers whether it is ready.
const READY: u16 = 15021;

/// A copy of the bookinfo example, and the folder of its machines.
struct Bookinfo {
    folder: tempfile::TempDir,
    data_dir: PathBuf,
    backend: &'static str,
}

impl Bookinfo {
    /// Copies the example, as a stack of its own: tests share the folder of machines.
    fn new(stack: &str, backend: &'static str) -> Result<Self> {
        let cache = cache_dir()?;
        let folder = tempfile::tempdir()?;
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bookinfo/meshvm.yaml");
        fs::copy(example, folder.path().join("meshvm.yaml"))?;
        let own = format!("stack: {stack}\n{}", sidecar(&cache)?);
        fs::write(folder.path().join("sidecar.yaml"), own)?;
        let bookinfo = Self {
            folder,
            data_dir: cache.join(format!("test-{backend}")),
            backend,
        };
        // A run that was killed may have left machines.
        bookinfo.meshvm(&["destroy", "-y", "--override-budgets"])?;
        Ok(bookinfo)
    }

    fn meshvm(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(env!("CARGO_BIN_EXE_meshvm"))
            .args(arguments)
            .args(["-f", "meshvm.yaml", "-f", "sidecar.yaml"])
            .args(["--var", &format!("backend={}", self.backend)])
            .env("MESHVM_DATA_DIR", &self.data_dir)
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path())
            .output()?;
        Ok(output)
    }

    fn succeed(&self, arguments: &[&str]) -> Result<String> {
        let output = self.meshvm(arguments)?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        let told = String::from_utf8_lossy(&output.stderr);
        Err(format!("meshvm {}: {}\n{told}", arguments.join(" "), output.status).into())
    }

    fn machines(&self, fleet: &str) -> Result<Vec<Value>> {
        let status: Value = serde_json::from_str(&self.succeed(&["status", "--format", "json"])?)?;
        let machines = status["status"]["fleets"][fleet]["machines"].as_array();
        Ok(machines.cloned().ok_or("the status has no machines")?)
    }

    /// Returns the ids of processes that run for a machine of this folder.
    fn processes(&self, machine: &str) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let pid = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let (Some(pid), Ok(line)) = (pid, fs::read(path.join("cmdline"))) else {
                continue;
            };
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.contains(&*self.data_dir.to_string_lossy()) && line.contains(machine) {
                found.push(pid);
            }
        }
        Ok(found)
    }
}

impl Drop for Bookinfo {
    fn drop(&mut self) {
        // A test that failed must not leave machines behind either.
        self.meshvm(&["destroy", "-y", "--override-budgets"]).ok();
    }
}

#[test]
fn two_containers_boot_serve_drift_and_go() -> Result<()> {
    let bookinfo = Bookinfo::new("containers", "container")?;
    bookinfo.succeed(&["apply", "-y"])?;
    let ratings = &bookinfo.machines("ratings")?[0];
    let database = &bookinfo.machines("mysqldb")?[0];
    for machine in [ratings, database] {
        assert_eq!(machine["readiness"]["state"], "ready", "{machine}");
        assert_eq!(machine["mesh"]["state"], "registered", "{machine}");
        assert_eq!(
            status_of(machine, READY, "/healthz/ready")?,
            200,
            "Envoy is not ready"
        );
    }
    assert_eq!(status_of(ratings, 9080, "/ratings/0")?, 200);
    let mut greeting = [0; 72];
    connect(database, 3306)?.read_exact(&mut greeting)?;
    let greeting = String::from_utf8_lossy(&greeting)
        .escape_debug()
        .to_string();
    assert!(greeting.contains("MariaDB"), "{greeting}");
    assert_entry(&bookinfo, ratings)?;
    assert_nothing_to_do(&bookinfo)?;

    let name = text(database, "name")?;
    for pid in bookinfo.processes(&format!("--machine={name}"))? {
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
    }
    wait_for("the machine to stop", || {
        Ok(bookinfo.processes(&name)?.is_empty())
    })?;
    let plan = bookinfo.succeed(&["plan"])?;
    assert!(plan.contains(&format!("{name} stopped")), "{plan}");
    bookinfo.succeed(&["apply", "-y"])?;
    assert_eq!(
        bookinfo.machines("mysqldb")?[0]["id"],
        database["id"],
        "it was replaced"
    );
    assert_nothing_to_do(&bookinfo)?;

    bookinfo.succeed(&["destroy", "-y"])?;
    assert_gone(&bookinfo, &[ratings, database])
}

#[test]
fn a_virtual_machine_boots_serves_and_goes() -> Result<()> {
    let bookinfo = Bookinfo::new("vms", "vm")?;
    bookinfo.succeed(&["apply", "-y", "--target", "ratings"])?;
    let ratings = &bookinfo.machines("ratings")?[0];
    assert_eq!(ratings["readiness"]["state"], "ready", "{ratings}");
    assert_entry(&bookinfo, ratings)?;
    let again = bookinfo.meshvm(&["plan", "--target", "ratings", "--detailed-exitcode"])?;
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stdout)
    );
    bookinfo.succeed(&["destroy", "-y"])?;
    assert_gone(&bookinfo, &[ratings])
}

/// Every user-data that is generated is valid by cloud-init's own schema.
#[test]
fn cloud_init_accepts_what_is_rendered() -> Result<()> {
    let bookinfo = Bookinfo::new("rendered", "container")?;
    let root = base_image(&bookinfo)?;
    let hostile = "apiVersion: meshvm/v1\nstack: hostile\nfleets:\n  a:\n    local: {}\n    bootstrap:\n      packages: [hello]\n      files:\n        - {path: \"/tmp/it's \\\"a\\\" $(path)\", content: \"{{x}} ${y} `z`\\n---\\n#cloud-config\\u2028\"}\n      run: [\"echo '\\\"$HOME\\\"'; : {{stack}}\"]\n";
    let files = bookinfo.folder.path();
    fs::write(files.join("hostile.yaml"), hostile)?;
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates/init/meshvm.yaml");
    fs::copy(starter, files.join("starter.yaml"))?;
    bookinfo.succeed(&["render", "--out", "out/bookinfo"])?;
    for name in ["hostile", "starter"] {
        let rendered = Command::new(env!("CARGO_BIN_EXE_meshvm"))
            .args([
                "render",
                "-f",
                &format!("{name}.yaml"),
                "--out",
                &format!("out/{name}"),
            ])
            .current_dir(files)
            .output()?;
        assert!(
            rendered.status.success(),
            "{}",
            String::from_utf8_lossy(&rendered.stderr)
        );
    }
    let mut checked = 0;
    for stack in fs::read_dir(files.join("out"))? {
        for fleet in fs::read_dir(stack?.path())? {
            let folder = fleet?.path();
            if folder.join("user-data").exists() {
                check_cloud_config(&root, &folder)?;
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 4);
    Ok(())
}

/// Runs cloud-init's check inside the base image, which is not written to.
fn check_cloud_config(root: &Path, folder: &Path) -> Result<()> {
    let script = "mount --bind \"$2\" \"$1/mnt\" && exec chroot \"$1\" cloud-init schema --config-file /mnt/user-data";
    let output = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .args([root, folder])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("Valid cloud-config"),
        "{}: {told}",
        folder.display()
    );
    Ok(())
}

/// Returns the root of the containers' base image, building it if need be.
fn base_image(bookinfo: &Bookinfo) -> Result<PathBuf> {
    let images = bookinfo.data_dir.join("images");
    let find = || -> Option<PathBuf> {
        let roots = fs::read_dir(&images).ok()?.flatten();
        roots
            .map(|e| e.path().join("rootfs"))
            .find(|root| root.join("usr/bin/cloud-init").exists())
    };
    if find().is_none() {
        bookinfo.succeed(&["apply", "-y", "--target", "ratings"])?;
    }
    find().ok_or_else(|| format!("no base image in {}", images.display()).into())
}

/// Builds the sidecar package, or takes it from the cache, and returns the fleet file that names it.
fn sidecar(cache: &Path) -> Result<String> {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sidecar/build");
    let output = Command::new(build).arg(cache.join("sidecar")).output()?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = String::from_utf8(output.stdout)?;
    let (path, sha256) = told
        .trim()
        .split_once('\t')
        .ok_or("the build names no package")?;
    let version = Command::new("dpkg-deb")
        .args(["--field", path, "Version"])
        .output()?;
    let version = String::from_utf8(version.stdout)?;
    Ok(format!(
        "sidecar:\n  version: {}\n  unit: envoy-sidecar.service\n  packages: [{{format: deb, arch: amd64, path: \"{path}\", sha256: {sha256}}}]\n",
        version.trim()
    ))
}

fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    Ok(cache.ok_or("HOME is not set")?.join("meshvm"))
}

fn text(machine: &Value, field: &str) -> Result<String> {
    let value = machine[field].as_str().map(str::to_owned);
    value.ok_or_else(|| format!("{machine} has no {field}").into())
}

fn connect(machine: &Value, port: u16) -> Result<TcpStream> {
    let address: IpAddr = text(machine, "address")?.parse()?;
    let stream =
        TcpStream::connect_timeout(&SocketAddr::new(address, port), Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// Returns the status code of a GET to a machine.
fn status_of(machine: &Value, port: u16, path: &str) -> Result<u16> {
    let mut stream = connect(machine, port)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: machine\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let code = answer.split(' ').nth(1).ok_or("no status line")?;
    Ok(code.parse()?)
}

fn assert_entry(bookinfo: &Bookinfo, machine: &Value) -> Result<()> {
    let name = text(machine, "name")?;
    let path = bookinfo
        .folder
        .path()
        .join(format!("mesh/vm/workloadentry-{name}.yaml"));
    let entry = fs::read_to_string(path)?;
    let address = text(machine, "address")?;
    assert!(entry.contains(&address), "{entry}");
    Ok(())
}

fn assert_nothing_to_do(bookinfo: &Bookinfo) -> Result<()> {
    let plan = bookinfo.meshvm(&["plan", "--detailed-exitcode"])?;
    assert_eq!(
        plan.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&plan.stdout)
    );
    Ok(())
}

fn assert_gone(bookinfo: &Bookinfo, machines: &[&Value]) -> Result<()> {
    for machine in machines {
        let name = text(machine, "name")?;
        wait_for("its processes to end", || {
            Ok(bookinfo.processes(&name)?.is_empty())
        })?;
        assert!(
            !bookinfo.data_dir.join("machines").join(&name).exists(),
            "{name} left files"
        );
        for list in ["/proc/mounts", "/proc/self/cgroup"] {
            assert!(
                !fs::read_to_string(list)?.contains(&name),
                "{name} is in {list}"
            );
        }
    }
    assert!(
        !bookinfo.folder.path().join("mesh").exists(),
        "manifests were left"
    );
    Ok(())
}

/// Waits for what takes a moment after the fact, such as the kernel reaping a process.
fn wait_for(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..300 {
        if done()? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("waited in vain for {what}").into())
}
