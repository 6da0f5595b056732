//! A machine: the agent with its files, in a network namespace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tempfile::TempDir;

/// The user whom the agent runs as; any but root.
const USER: &str = "nobody";

/// The programs, where that user can run them.
pub struct Programs {
    folder: TempDir,
}

impl Programs {
    /// Takes the agent of this build, and Envoy of the package of the examples.
    pub fn new() -> Self {
        for (tool, package) in [("iptables", "iptables"), ("setpriv", "util-linux")] {
            let runs = Command::new(tool)
                .arg("--version")
                .stdout(Stdio::null())
                .status();
            assert!(runs.is_ok(), "no {tool}: apt-get install {package}");
        }
        let folder = tempfile::tempdir().unwrap();
        readable(folder.path());
        fs::copy(
            env!("CARGO_BIN_EXE_pilot-agent"),
            folder.path().join("pilot-agent"),
        )
        .unwrap();
        let unpacked = Command::new("sh")
            .args(["-c", r#"dpkg-deb --fsys-tarfile "$0" | tar -xf - -C "$1" --strip-components=4 ./usr/local/bin/envoy"#])
            .arg(package())
            .arg(folder.path())
            .status();
        assert!(unpacked.unwrap().success(), "cannot unpack Envoy");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Returns the package that has Envoy, which is built when it is not in the cache.
fn package() -> PathBuf {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/sidecar/build");
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.expect("HOME is not set").join("meshvm/sidecar");
    let output = Command::new(build).arg(cache).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "no Envoy: {said}");
    let told = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(told.split('\t').next().unwrap())
}

fn readable(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A machine.
pub struct Machine {
    /// Its folder, which the agent takes for `/`.
    pub folder: TempDir,
    /// Its network namespace.
    pub namespace: String,
    environment: BTreeMap<String, String>,
    program: PathBuf,
    agent: Option<Child>,
}

impl Machine {
    /// Puts the files of a machine in place.
    pub fn new(
        programs: &Programs,
        namespace: String,
        mesh: &str,
        root: &str,
        token: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("etc/certs/root-cert.pem", root),
            ("etc/istio/config/mesh", mesh),
            ("var/run/secrets/tokens/istio-token", token),
            ("etc/hosts", "127.0.0.1 localhost\n"),
        ];
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        give(folder.path());
        let binary = format!("binaryPath: {}", programs.path("envoy").display());
        let mut environment: BTreeMap<String, String> = BTreeMap::new();
        let fixed = [
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("ENVOY_USER", USER),
            ("PROXY_CONFIG", binary.as_str()),
            ("PROV_CERT", "./etc/certs"),
            ("OUTPUT_CERTS", "./etc/certs"),
            ("ISTIOD_SAN", "istiod.istio-system.svc"),
            ("ISTIO_INBOUND_PORTS", "*"),
            ("ISTIO_LOCAL_EXCLUDE_PORTS", "22,15090,15021,15020"),
            ("ISTIO_SERVICE_CIDR", "*"),
        ];
        for (name, value) in fixed.iter().chain(variables) {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        Self {
            folder,
            namespace,
            environment,
            program: programs.path("pilot-agent"),
            agent: None,
        }
    }

    /// Returns a file of it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(program)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.folder.path());
        command
    }

    /// Captures what goes in and out.
    pub fn capture(&self) {
        let mut command = self.command(&self.program);
        let output = command.arg("istio-iptables").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }

    /// Ends that.
    pub fn clean(&self) {
        let mut command = self.command(&self.program);
        let status = command.args(["istio-iptables", "--cleanup-only"]).status();
        assert!(status.unwrap().success());
    }

    /// Returns the rules of the table `nat`.
    pub fn rules(&self) -> String {
        let mut command = self.command(Path::new("iptables"));
        let output = command.args(["-t", "nat", "-S"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the agent.
    pub fn start(&mut self) {
        let log = fs::File::create(self.file("istio.log")).unwrap();
        let errors = log.try_clone().unwrap();
        let agent = self
            .command(Path::new("setpriv"))
            .args(["--reuid", USER, "--regid", "nogroup", "--clear-groups"])
            .arg(&self.program)
            .arg("proxy")
            .arg("--hosts")
            .arg(self.file("etc/hosts"))
            .stdout(log)
            .stderr(errors)
            .spawn();
        self.agent = Some(agent.unwrap());
    }

    /// Returns what the agent said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("istio.log")).unwrap_or_default()
    }

    /// Tells the agent to end, and waits for it.
    pub fn stop(&mut self) -> ExitStatus {
        let mut agent = self.agent.take().expect("the agent runs");
        kill(
            Pid::from_raw(agent.id().try_into().unwrap()),
            Signal::SIGTERM,
        )
        .unwrap();
        agent.wait().unwrap()
    }

    /// Asks again until it is so, for as long as a slow computer needs.
    #[track_caller]
    pub fn eventually(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(120);
        while Instant::now() < end {
            if is_so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!(
            "it never comes that {what}; the agent says:\n{}",
            self.log()
        );
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            // Envoy ends with it: the agent is asked, not killed.
            let id = Pid::from_raw(agent.id().try_into().unwrap());
            let _ = kill(id, Signal::SIGINT);
            let _ = agent.wait();
        }
    }
}

/// Gives a folder to the user of the agent.
fn give(path: &Path) {
    let user = User::from_name(USER).unwrap().expect("a user nobody");
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
