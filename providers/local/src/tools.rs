//! The programs of this computer that do the work: finding them, running them, their errors.
//!
//! Every program but the ones that live on with a machine is run here. They
//! are looked for in the usual folders only, not in the caller's `PATH`, which
//! often lacks `/usr/sbin`; and speak English, since errors are shown as they are.
//! They die with this process, so that what it left half done stays as it is
//! while another finishes it; but not of Ctrl-C, which is this process's to judge.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use meshvm_provider_api::Requests;

/// Where programs are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that machines need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    /// Tells how this computer's apt is set up.
    AptConfig,
    /// Downloads images.
    Curl,
    /// Pretends to be root while a disk is made.
    Fakeroot,
    /// Writes seeds and media.
    Genisoimage,
    /// Sets up the network.
    Ip,
    /// Makes file systems.
    Mkfs,
    /// Builds Debian images.
    Mmdebstrap,
    /// Mounts overlays.
    Mount,
    /// Lets a user build an image.
    Newuidmap,
    /// Translates addresses.
    Nft,
    /// Runs containers.
    Nspawn,
    /// Makes disks of virtual machines.
    QemuImg,
    /// Runs virtual machines.
    QemuSystem,
    /// Lets a child die with its parent.
    Setpriv,
    /// Lets a child outlive its parent.
    Setsid,
    /// Changes running units, where systemd runs this computer.
    Systemctl,
    /// Starts units, where systemd runs this computer.
    SystemdRun,
    /// Unpacks images.
    Tar,
    /// Makes mount namespaces.
    Unshare,
    /// Writes seeds and media.
    Xorrisofs,
    /// Unpacks images.
    Xz,
    /// Unpacks images.
    Zstd,
}

impl Tool {
    /// Returns the name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::AptConfig => "apt-config",
            Self::Curl => "curl",
            Self::Fakeroot => "fakeroot",
            Self::Genisoimage => "genisoimage",
            Self::Ip => "ip",
            Self::Mkfs => "mkfs.ext4",
            Self::Mmdebstrap => "mmdebstrap",
            Self::Mount => "mount",
            Self::Newuidmap => "newuidmap",
            Self::Nft => "nft",
            Self::Nspawn => "systemd-nspawn",
            Self::QemuImg => "qemu-img",
            Self::QemuSystem => "qemu-system-x86_64",
            Self::Setpriv => "setpriv",
            Self::Setsid => "setsid",
            Self::Systemctl => "systemctl",
            Self::SystemdRun => "systemd-run",
            Self::Tar => "tar",
            Self::Unshare => "unshare",
            Self::Xorrisofs => "xorrisofs",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the Debian package that it comes with.
    pub fn package(self) -> &'static str {
        match self {
            Self::AptConfig => "apt",
            Self::Curl => "curl",
            Self::Fakeroot => "fakeroot",
            Self::Genisoimage => "genisoimage",
            Self::Ip => "iproute2",
            Self::Mkfs => "e2fsprogs",
            Self::Mmdebstrap => "mmdebstrap",
            Self::Mount => "mount",
            Self::Newuidmap => "uidmap",
            Self::Nft => "nftables",
            Self::Nspawn => "systemd-container",
            Self::QemuImg => "qemu-utils",
            Self::QemuSystem => "qemu-system-x86",
            Self::Setpriv | Self::Setsid | Self::Unshare => "util-linux",
            Self::Systemctl | Self::SystemdRun => "systemd",
            Self::Tar => "tar",
            Self::Xorrisofs => "xorriso",
            Self::Xz => "xz-utils",
            Self::Zstd => "zstd",
        }
    }

    /// Returns the command that installs it.
    pub fn install(self) -> String {
        format!("apt-get install --no-install-recommends {}", self.package())
    }

    /// Returns where it is; `None` when it is not installed.
    pub fn find(self) -> Option<PathBuf> {
        PATH.split(':')
            .map(|folder| PathBuf::from(folder).join(self.program()))
            .find(|path| path.is_file())
    }

    /// Returns where it is.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn require(self) -> Result<PathBuf, ToolError> {
        self.find().ok_or(ToolError::Missing { tool: self })
    }
}

/// A program could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// It is not installed.
    #[error("`{}` is not installed", tool.program())]
    Missing {
        /// The program.
        tool: Tool,
    },
    /// It could not be run.
    #[error("failed to run `{command}`")]
    Run {
        /// The command.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last that it said.
        stderr: String,
    },
}

/// Runs programs, and counts them.
#[derive(Clone, Default)]
pub(crate) struct Tools {
    requests: Requests,
}

/// What setpriv is told, before the program and its arguments.
const LEASH: [&str; 3] = ["--pdeathsig", "KILL", "--"];

/// How many lines of a failed program's words are kept.
const TAIL: usize = 12;

impl Tools {
    pub fn new(requests: Requests) -> Self {
        Self { requests }
    }

    /// Runs a program and returns what it wrote.
    pub fn run<I, S>(&self, tool: Tool, args: I) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.call(tool, args, "", |_| {})
    }

    /// Runs a program, gives it text to read, and returns what it wrote.
    pub fn feed<I, S>(&self, tool: Tool, args: I, input: &str) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.call(tool, args, input, |_| {})
    }

    /// Runs a program, gives it text to read, and passes on each line that it says as it comes.
    ///
    /// `input` must fit a pipe (64 KiB), and what the program writes besides
    /// its lines of errors too.
    pub fn call<I, S>(
        &self,
        tool: Tool,
        args: I,
        input: &str,
        mut said: impl FnMut(&str),
    ) -> Result<String, ToolError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let program = tool.require()?;
        let args: Vec<OsString> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
        self.requests.count(tool.program());
        let command = || {
            let mut text = tool.program().to_owned();
            for arg in &args {
                text.push(' ');
                text.push_str(&arg.to_string_lossy());
            }
            text
        };
        let failed = |source| ToolError::Run {
            command: command(),
            source,
        };
        let mut child = Command::new(Tool::Setpriv.require()?)
            .args(LEASH)
            .arg(program)
            .args(&args)
            .process_group(0)
            .env("LC_ALL", "C")
            .env("PATH", PATH)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that fails at once reads nothing; its own words say more than a broken pipe.
            match stdin.write_all(input.as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(failed(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let mut last = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            for line in BufReader::new(stderr).split(b'\n') {
                let line = line.map_err(failed)?;
                let line = String::from_utf8_lossy(&line);
                said(line.trim_end());
                if last.len() == TAIL {
                    last.remove(0);
                }
                last.push(line.trim_end().to_owned());
            }
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(ToolError::Failed {
            command: command(),
            status: output.status,
            stderr: last.join("; "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_says_what_it_said() {
        let error = Tools::default()
            .run(Tool::Tar, ["--no-such-option"])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("`tar --no-such-option` failed (exit status: "),
            "{error}"
        );
        assert!(error.contains("unrecognized option"), "{error}");
    }

    #[test]
    fn a_program_reads_and_writes() {
        let requests = Requests::default();
        let tools = Tools::new(requests.clone());
        let told = tools.feed(Tool::Tar, ["--version"], "ignored").unwrap();
        assert!(told.starts_with("tar"), "{told}");
        assert_eq!(requests.snapshot(), [("tar", 1)].into());
    }
}
