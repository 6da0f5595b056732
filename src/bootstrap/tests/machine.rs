//! A machine to run the bootstrap on: a folder as its root, and stand-ins for
//! the programs that would change the computer which runs the tests.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::bootstrap::SCRIPT_PATH;

const SHIMS: &str = include_str!("shims.sh");
const SHIM_NAMES: [&str; 21] = [
    "apt-get",
    "blkid",
    "cloud-init",
    "curl",
    "dpkg",
    "dpkg-deb",
    "dpkg-query",
    "getent",
    "ip",
    "journalctl",
    "mount",
    "mv",
    "openssl",
    "rpm",
    "sleep",
    "systemctl",
    "systemd-detect-virt",
    "timedatectl",
    "udevadm",
    "umount",
    "uname",
];

/// What the stand-in of dpkg-deb takes for a package.
pub const DEB: &str = "Package: test-sidecar\nVersion: 1.2.3\n";
/// The SHA-256 of [`DEB`].
pub const DEB_SHA256: &str = "68f0353a01747fce92b0d3ddfd5966436281d58e35cb06336e2b69127bb336bb";

/// What the stand-in of rpm takes for a package.
pub const RPM: &str = "Package: test-sidecar\nVersion: 1.2.3-1\n";
/// The SHA-256 of [`RPM`].
pub const RPM_SHA256: &str = "66b7c6e8b42e504365317e4343acbcf2cfe0b29e7c1666d2435f5e34dd6389e6";

/// A user-data as cloud-init reads it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    pub write_files: Vec<WriteFile>,
    pub runcmd: Vec<Vec<String>>,
}

/// An entry of `write_files`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteFile {
    pub path: String,
    pub owner: String,
    pub permissions: String,
    pub encoding: String,
    content: String,
}

impl CloudConfig {
    pub fn parse(user_data: &str) -> Self {
        assert!(user_data.starts_with("#cloud-config\n"));
        serde_saphyr::from_str(user_data).unwrap()
    }

    pub fn content(&self, path: &str) -> Vec<u8> {
        let mut found = self.write_files.iter().filter(|file| file.path == path);
        let content = found.next().unwrap().decoded();
        assert!(found.next().is_none());
        content
    }
}

impl WriteFile {
    fn decoded(&self) -> Vec<u8> {
        let bytes = STANDARD.decode(&self.content).unwrap();
        match self.encoding.as_str() {
            "b64" => bytes,
            "gz+b64" => {
                let mut out = Vec::new();
                let mut reader = flate2::read::GzDecoder::new(bytes.as_slice());
                reader.read_to_end(&mut out).unwrap();
                out
            }
            other => panic!("cloud-init would not know {other}"),
        }
    }
}

/// A machine.
pub struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Makes a machine that can fetch the sidecar package and whose sidecar becomes ready.
    pub fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for folder in ["root", "bin", "fake/db"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        machine.write("bin/shim", SHIMS);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(machine.path("bin/shim"), executable).unwrap();
        for name in SHIM_NAMES {
            std::os::unix::fs::symlink("shim", machine.path("bin").join(name)).unwrap();
        }
        machine.write("fake/arch", "amd64\n");
        machine.write("fake/answer", "200");
        machine.write("fake/download", DEB);
        machine.write("fake/calls", "");
        machine.write("fake/db/dpkg", "1\n");
        machine.write(
            "fake/route4",
            "192.0.2.1 via 10.0.0.1 dev eth0 src 10.0.0.7 uid 0\n",
        );
        machine
    }

    /// Makes a machine with rpm and a tool round it.
    pub fn with_rpm(tool: &str) -> Self {
        let machine = Self::new();
        fs::remove_file(machine.path("fake/db/dpkg")).unwrap();
        std::os::unix::fs::symlink("shim", machine.path("bin").join(tool)).unwrap();
        machine.write("fake/arch", "x86_64\n");
        machine.write("fake/download", RPM);
        machine
    }

    /// Returns a path in the machine's folder: `root/…` is the machine's, `fake/…` what its programs know.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path(path)).unwrap()
    }

    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Does what cloud-init does with a user-data, and returns how the script ended.
    pub fn boot(&self, user_data: &str) -> ExitStatus {
        self.give(user_data);
        self.run()
    }

    /// Writes the files of a user-data.
    pub fn give(&self, user_data: &str) {
        let config = CloudConfig::parse(user_data);
        for file in &config.write_files {
            let mut content = file.decoded();
            if file.path == SCRIPT_PATH {
                // Whoever runs the tests has no such user, and may not give files away.
                let script = String::from_utf8(content).unwrap();
                assert!(script.matches("istio-proxy").count() <= 1);
                content = script
                    .replace("=istio-proxy\n", &format!("={}\n", user_name()))
                    .into();
            }
            self.write(&format!("root{}", file.path), content);
        }
        assert_eq!(config.runcmd, [["/bin/bash", SCRIPT_PATH]]);
    }

    /// Runs the script.
    pub fn run(&self) -> ExitStatus {
        self.bash(&[&format!("root{SCRIPT_PATH}")])
    }

    /// Does what the drop-in of the sidecar's unit does before each start, and the timer between.
    pub fn before_start(&self) -> ExitStatus {
        self.bash(&[&format!("root{SCRIPT_PATH}"), "hosts"])
    }

    /// Runs a script of this machine.
    pub fn bash(&self, command: &[&str]) -> ExitStatus {
        let path = std::env::var("PATH").unwrap();
        let output = Command::new("/bin/bash")
            .arg(self.path(command[0]))
            .args(&command[1..])
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("FAKE", self.path("fake"))
            .env("MESHVM_ROOT", self.path("root"))
            .output()
            .unwrap();
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.status
    }

    /// Returns the result that the machine reports.
    pub fn result(&self) -> Value {
        let text = self.read("root/var/lib/meshvm/result.json");
        serde_json::from_slice(&text).unwrap()
    }

    /// Returns the reason of a failure in a step.
    pub fn failure(&self, step: &str) -> String {
        let result = self.result();
        assert_eq!(result["state"], "failed", "{result}\n{}", self.log());
        assert_eq!(result["step"], step, "{result}\n{}", self.log());
        result["reason"].as_str().unwrap().to_owned()
    }

    /// Returns the log, for messages.
    pub fn log(&self) -> String {
        let log = fs::read(self.path("root/var/log/meshvm-bootstrap.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Returns the calls of programs since the last question that start with one of `prefixes`.
    pub fn calls(&self, prefixes: &[&str]) -> Vec<String> {
        let calls = String::from_utf8(self.read("fake/calls")).unwrap();
        self.write("fake/calls", "");
        let root = self.path("root").display().to_string();
        calls
            .lines()
            .filter(|call| prefixes.iter().any(|prefix| call.starts_with(prefix)))
            .map(|call| call.replace(&root, ""))
            .collect()
    }
}

/// Returns user and group of whoever runs the tests, who may not give files away.
pub fn user() -> String {
    let output = Command::new("sh")
        .args(["-c", "echo $(id -un):$(id -gn)"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the name of whoever runs the tests.
pub fn user_name() -> String {
    user().split(':').next().unwrap().to_owned()
}

/// Returns the permissions of a file.
pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
