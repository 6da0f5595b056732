//! Runs commands on a stage, and tells what each took.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use meshvm_ec2::{Instance, Manners, Moto, Proxy};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::tool::REGION;

/// The argument that makes this program run one command, as a process of its own: what the system
/// counts for finished children is then that of the command, and of all that it started.
pub const MEASURE: &str = "measure";

/// A command to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The program.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The codes that it may end with.
    pub codes: &'static [i32],
}

/// What a command took.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The calls that the server got, by name.
    pub calls: BTreeMap<String, u64>,
    /// Seconds of CPU time of all its processes.
    pub cpu: f64,
    /// The most memory of its largest process, in MB.
    pub peak: u64,
    /// How long it took by the clock.
    pub wall: Duration,
}

/// An account of its own, and a folder.
pub struct Stage {
    runtime: Runtime,
    proxy: Proxy,
    folder: TempDir,
}

impl Stage {
    /// Makes one.
    pub fn new(moto: &Moto) -> io::Result<Self> {
        let runtime = Runtime::new()?;
        let proxy = runtime.block_on(Proxy::start(moto.address(), Manners::default()));
        Ok(Self {
            runtime,
            proxy,
            folder: tempfile::tempdir()?,
        })
    }

    /// Returns the folder that commands run in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns where the server is.
    pub fn endpoint(&self) -> String {
        self.proxy.endpoint()
    }

    /// Returns the machines that the server has.
    pub fn instances(&self) -> io::Result<Vec<Instance>> {
        self.runtime.block_on(self.proxy.instances(REGION))
    }

    /// Ends a machine, as somebody else would.
    pub fn terminate_one(&self) -> io::Result<()> {
        let instances = self.instances()?;
        let middle = instances.get(instances.len() / 2);
        let id = &middle
            .ok_or_else(|| io::Error::other("there is no machine"))?
            .id;
        self.runtime.block_on(self.proxy.terminate(REGION, id))
    }

    /// Prepares a command: in the folder, with credentials that the server does not check.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command
            .current_dir(self.folder())
            .env("AWS_ACCESS_KEY_ID", "key")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", self.endpoint())
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("CHECKPOINT_DISABLE", "1")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// With what it printed, when it ends with another code than it may.
    pub fn measure(&self, run: &Run) -> Result<Cost, Box<dyn Error>> {
        self.proxy.forget_calls();
        let log = self.folder().join("log");
        let mut command = self.command(std::env::current_exe()?);
        command.arg(MEASURE).arg(&log).arg(&run.program);
        let begun = Instant::now();
        let output = command.args(&run.arguments).output()?;
        let wall = begun.elapsed();
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<f64> = text
            .split_whitespace()
            .filter_map(|it| it.parse().ok())
            .collect();
        let [code, cpu, peak] = numbers.as_slice() else {
            let error = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{run:?} was not measured: {text}{error}").into());
        };
        if !run.codes.iter().any(|allowed| f64::from(*allowed) == *code) {
            let printed = std::fs::read_to_string(log)?;
            return Err(format!("{run:?} ended with {code}:\n{printed}").into());
        }
        Ok(Cost {
            calls: self.proxy.calls(),
            cpu: *cpu,
            peak: *peak as u64,
            wall,
        })
    }
}

/// Runs a command, and prints its code, its CPU time and its peak of memory.
///
/// # Errors
/// When it cannot be run.
pub fn child(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [log, program, rest @ ..] = arguments else {
        return Err("no command".into());
    };
    let log = std::fs::File::create(PathBuf::from(log))?;
    let status = Command::new(program)
        .args(rest)
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
    println!(
        "{} {cpu} {}",
        status.code().unwrap_or(-1),
        usage.max_rss() / 1024
    );
    Ok(())
}
