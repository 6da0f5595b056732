//! Starting a container so that it outlives this process.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{ContainerError, Containers, Layout, console_tail};
use crate::files::{self, FileError, doing};
use crate::store::Entry;
use crate::tools::{PATH, Tool, ToolError};

/// What a container says while it starts.
pub(super) const CONSOLE: &str = "console.log";
/// The ticket of a start that came to its end, and its exit code.
const EXIT: &str = "exit";
/// The ticket of the only start that is wanted.
const TICKET: &str = "ticket";

/// Runs a container from beginning to end.
const LAUNCH: &str = include_str!("../../../../templates/local/launch.sh");

/// How long a container may take until its first process runs: long where fifty boot at once.
const START: Duration = Duration::from_secs(120);
/// The wait between two looks at a starting container.
const LOOK: Duration = Duration::from_millis(10);

/// Who answers names on this computer, best first: the others only where the first names a
/// resolver that listens on this computer's own loopback, where no machine reaches it.
const RESOLVERS: [&str; 3] = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

impl Containers {
    /// Starts a container of which nothing is left from before.
    pub(super) fn launch(
        &self,
        entry: &Entry,
        layout: &Layout,
        unit: &str,
        ticket: &str,
    ) -> Result<(), ContainerError> {
        let record = &entry.record;
        let settings = &record.settings;
        if !entry.folder.join("base").join("usr").exists() {
            return Err(ContainerError::NoBase {
                name: record.name.clone(),
                image: record.image.clone(),
            });
        }
        self.network.ensure_up()?;
        let namespace = self.network.attach(record)?;
        self.resolve(entry)?;
        // Each start has a copy of its own: a shell reads its script while it runs.
        let script = entry.folder.join("launch.sh");
        files::write(&script, LAUNCH.as_bytes(), 0o755)?;

        let mut command: Vec<String> = ["--mount", "--propagation", "slave", "--", "/bin/sh"]
            .map(str::to_owned)
            .into();
        command.extend([
            script.display().to_string(),
            entry.folder.display().to_string(),
            record.name.clone(),
            namespace,
            ticket.to_owned(),
        ]);
        if layout.systemd() {
            self.launch_unit(entry, unit, &command)?;
        } else {
            let entries = layout.make(unit)?;
            layout.limit(&self.tools, unit, settings.memory, settings.cpus)?;
            command.extend(entries.iter().map(|path| path.display().to_string()));
            self.launch_session(entry, &command)?;
        }
        wait(entry, layout, unit, ticket)
    }

    /// Starts it as a process of its own session, which nobody is the parent of.
    fn launch_session(&self, entry: &Entry, command: &[String]) -> Result<(), ContainerError> {
        let console = entry.folder.join(CONSOLE);
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&console)
                .map_err(doing("open", &console))
        };
        let setsid = Tool::Setsid.require()?;
        let run = |source| ToolError::Run {
            command: Tool::Setsid.program().to_owned(),
            source,
        };
        // The caller's environment may hold secrets, and a container lives long.
        let status = Command::new(setsid)
            .arg("--fork")
            .arg(Tool::Unshare.require()?)
            .args(command)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .status()
            .map_err(run)?;
        if status.success() {
            return Ok(());
        }
        Err(ToolError::Failed {
            command: Tool::Setsid.program().to_owned(),
            status,
            stderr: console_tail(&entry.folder),
        }
        .into())
    }

    /// Starts it as a unit of systemd, which owns the cgroups where it runs this computer.
    fn launch_unit(
        &self,
        entry: &Entry,
        unit: &str,
        command: &[String],
    ) -> Result<(), ContainerError> {
        let settings = &entry.record.settings;
        let console = entry.folder.join(CONSOLE);
        let mut args = vec![
            format!("--unit={unit}"),
            "--slice=system.slice".to_owned(),
            "--collect".to_owned(),
            "--quiet".to_owned(),
        ];
        let [memory, cpu] = Layout::properties(settings.memory, settings.cpus);
        let output = format!("append:{}", console.display());
        for property in [
            "Type=exec".to_owned(),
            "Delegate=yes".to_owned(),
            "KillMode=mixed".to_owned(),
            "TasksMax=infinity".to_owned(),
            memory,
            cpu,
            format!("StandardOutput={output}"),
            format!("StandardError={output}"),
        ] {
            args.push(format!("--property={property}"));
        }
        args.push("--".to_owned());
        args.push(Tool::Unshare.require()?.display().to_string());
        args.extend_from_slice(command);
        self.tools.run(Tool::SystemdRun, args)?;
        Ok(())
    }

    /// Tells a machine who answers names, as of now: a laptop moves.
    fn resolve(&self, entry: &Entry) -> Result<(), FileError> {
        let mut servers = Vec::new();
        for path in RESOLVERS {
            let text = files::read(Path::new(path))?.unwrap_or_default();
            servers = nameservers(&String::from_utf8_lossy(&text));
            if !servers.is_empty() {
                break;
            }
        }
        if servers.is_empty() {
            self.progress.say(&format!(
                "{} finds no names: this computer's name server listens on its loopback only",
                entry.record.name
            ));
        }
        let text: String = servers
            .iter()
            .map(|server| format!("nameserver {server}\n"))
            .collect();
        let folder: PathBuf = entry.folder.join("upper/etc");
        // Its own root may have made a link of it, to a folder of this computer.
        let metadata = fs::symlink_metadata(&folder).map_err(doing("read", &folder))?;
        if metadata.is_dir() {
            files::write(&folder.join("resolv.conf"), text.as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

/// Makes every earlier start of a machine unwanted, and returns the ticket of the next.
pub(super) fn ticket(entry: &Entry) -> Result<String, FileError> {
    let ticket = Uuid::new_v4().simple().to_string();
    files::write(&entry.folder.join(TICKET), ticket.as_bytes(), 0o600)?;
    Ok(ticket)
}

/// Makes every earlier start of a machine unwanted.
pub(super) fn forbid(entry: &Entry) -> Result<(), FileError> {
    files::remove(&entry.folder.join(TICKET))
}

/// Returns whether a container runs, waiting for one that is on its way up.
pub(super) fn is_up(entry: &Entry, layout: &Layout, unit: &str) -> Result<bool, ContainerError> {
    let deadline = Instant::now() + START;
    while layout.is_populated(unit)? {
        if layout.is_booted(unit)? {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Err(stuck(entry));
        }
        thread::sleep(LOOK);
    }
    Ok(false)
}

/// Waits until a container's first process runs.
fn wait(entry: &Entry, layout: &Layout, unit: &str, ticket: &str) -> Result<(), ContainerError> {
    let deadline = Instant::now() + START;
    let exit = entry.folder.join(EXIT);
    while !layout.is_booted(unit)? {
        let ended = files::read(&exit)?.is_some_and(|text| text.starts_with(ticket.as_bytes()));
        if ended || Instant::now() > deadline {
            return Err(stuck(entry));
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn stuck(entry: &Entry) -> ContainerError {
    ContainerError::Start {
        name: entry.record.name.clone(),
        said: console_tail(&entry.folder),
    }
}

/// Reads the name servers that a machine can reach out of a `resolv.conf`.
fn nameservers(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse::<IpAddr>().ok())
        .filter(|address| !address.is_loopback() && address.is_ipv4())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reachable_name_servers_are_told() {
        let text = "# x\nnameserver 127.0.0.53\n nameserver 10.0.0.1\nnameserver ::1\n\
                    nameserver fe80::1%eth0\nsearch example.org\nnameserver\t192.0.2.1\n";
        let servers: Vec<_> = nameservers(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.1", "192.0.2.1"]);
        assert!(nameservers("").is_empty());
    }
}
