//! Starting machines and stopping them.
//!
//! QEMU detaches itself once it has opened everything and written down its
//! process, so an error in either is seen at once. Until then it holds the
//! folder's gate, a lock that it inherits as its standard input and lets go
//! when it detaches: whoever comes after a killed launcher waits there, and
//! then finds the process, or that there is none.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::accelerator::{Accelerator, Choice};
use super::arguments::{DISK, Launch, agree, protocol_name};
use super::process::{PIDFILE, Process};
use super::{VmError, Vms, iso, qmp, report};
use crate::files::{self, doing};
use crate::record::{Phase, Record};
use crate::settings::{AcceleratorChoice, Protocol, Publish};
use crate::store::Entry;
use crate::tools::{PATH, Tool, ToolError};

/// Is locked while a machine is launched.
const GATE: &str = "gate";
/// How long another launch of the machine may take; it is a matter of milliseconds.
const LAUNCH: Duration = Duration::from_secs(60);
/// How long a machine may take to shut down by itself before its power fails.
const SHUT_DOWN: Duration = Duration::from_secs(90);
/// How long QEMU may take to write its disks out and end.
const QUIT: Duration = Duration::from_secs(10);
/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(10);
/// The wait between two tries of the gate.
const LOOK: Duration = Duration::from_millis(10);

impl Vms {
    /// Launches a machine, unless it runs.
    pub(super) fn launch(&self, entry: &Entry) -> Result<(), VmError> {
        let record = &entry.record;
        let gate = gate(entry)?;
        match Process::of(&entry.folder)? {
            None => {}
            // It may hold ports and the disk a moment longer.
            Some(process) if process.ending => end(entry, &process)?,
            Some(_) => return Ok(()),
        }
        if !self.images.disk(&record.image).exists() || !entry.folder.join(DISK).exists() {
            return Err(VmError::NoBase {
                name: record.name.clone(),
                image: record.image.clone(),
            });
        }
        for port in &record.settings.publish {
            check_port(entry, port)?;
        }
        // What a killed QEMU leaves behind.
        files::remove(&entry.folder.join(PIDFILE))?;
        files::remove(&entry.folder.join(qmp::SOCKET))?;
        let kernel = self.images.kernel(&record.image);
        let mut launch = Launch {
            name: &record.name,
            folder: &entry.folder,
            settings: &record.settings,
            accelerator: Accelerator::Tcg,
            kernel: kernel.as_deref(),
            segment: record
                .address
                .map(|address| (self.segment, self.names.mac(address))),
            media: iso::write_media(&self.tools, &entry.folder)?,
        };
        report::begin(&entry.folder)?;
        let Choice { accelerator, .. } = self.accelerators.choose(record.settings.accel)?;
        launch.accelerator = accelerator;
        let said = match run(&launch, &gate)? {
            None => return Ok(()),
            Some(said) => said,
        };
        // The probe may have passed and the real thing not, as with a device that is used up.
        if accelerator == Accelerator::Kvm && record.settings.accel == AcceleratorChoice::Auto {
            self.progress.say(&format!(
                "{} does not start with kvm ({said}), trying tcg",
                record.name
            ));
            launch.accelerator = Accelerator::Tcg;
            if run(&launch, &gate)?.is_none() {
                return Ok(());
            }
        }
        Err(VmError::Start {
            name: record.name.clone(),
            said,
        })
    }

    /// Launches a machine anew, if it runs otherwise than its record says.
    pub(super) fn relaunch(&self, entry: &Entry) -> Result<(), VmError> {
        let record = &entry.record;
        let Some(process) = Process::of(&entry.folder)? else {
            return Ok(());
        };
        if agree(&process.arguments, &record.settings) {
            return Ok(());
        }
        self.progress.say(&format!("restarting {}", record.name));
        shut_down(entry, &process)?;
        self.launch(entry)
    }

    /// Ends a machine as if its power failed, and whatever launches it.
    pub(super) fn kill(&self, entry: &Entry) -> Result<(), VmError> {
        if !entry.folder.exists() {
            return Ok(());
        }
        let _gate = gate(entry)?;
        match Process::of(&entry.folder)? {
            Some(process) => end(entry, &process),
            None => Ok(()),
        }
    }
}

/// Waits until nobody launches the machine.
fn gate(entry: &Entry) -> Result<File, VmError> {
    let path = entry.folder.join(GATE);
    let gate = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(doing("open", &path))?;
    let deadline = Instant::now() + LAUNCH;
    loop {
        match gate.try_lock() {
            Ok(()) => return Ok(gate),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(VmError::Launching {
                    name: entry.record.name.clone(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(doing("lock", &path)(error).into()),
        }
    }
}

/// Runs QEMU until it has detached itself; returns what it said if it did not.
fn run(launch: &Launch<'_>, gate: &File) -> Result<Option<String>, VmError> {
    let qemu = Tool::QemuSystem.require()?;
    let failed = |source| ToolError::Run {
        command: Tool::QemuSystem.program().to_owned(),
        source,
    };
    // The caller's environment may hold secrets, and a machine lives long.
    let output = Command::new(qemu)
        .args(launch.arguments())
        // Ctrl-C at the terminal is not meant for it.
        .process_group(0)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .current_dir(launch.folder)
        .stdin(gate.try_clone().map_err(failed)?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(failed)?;
    if output.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Ok(Some(if lines.is_empty() {
        format!("QEMU ended ({})", output.status)
    } else {
        lines.join("; ")
    }))
}

/// Shuts a machine down: by itself if it can, by force if not.
fn shut_down(entry: &Entry, process: &Process) -> Result<(), VmError> {
    for (order, limit) in [(qmp::Order::PowerDown, SHUT_DOWN), (qmp::Order::Quit, QUIT)] {
        // One that does not listen is ended in the next way, and in the end without asking.
        if qmp::give(&entry.folder, order).is_ok() && process.is_gone_within(limit)? {
            return Ok(());
        }
    }
    end(entry, process)
}

fn end(entry: &Entry, process: &Process) -> Result<(), VmError> {
    if process.kill(GONE)? {
        Ok(())
    } else {
        Err(VmError::Stuck {
            name: entry.record.name.clone(),
            pid: process.number(),
        })
    }
}

/// Checks that a port can be published: QEMU would say less about why not.
fn check_port(entry: &Entry, publish: &Publish) -> Result<(), VmError> {
    let port = publish.host;
    let bound = match publish.protocol {
        Protocol::Tcp => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop),
        Protocol::Udp => UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).map(drop),
    };
    let Err(source) = bound else {
        return Ok(());
    };
    let protocol = protocol_name(publish.protocol);
    match publisher(entry, publish) {
        Some(other) if source.kind() == io::ErrorKind::AddrInUse => Err(VmError::PortPublished {
            port,
            protocol,
            other,
        }),
        Some(_) | None => Err(VmError::Port {
            port,
            protocol,
            source,
        }),
    }
}

/// Returns another machine of the data folder that publishes a port.
fn publisher(entry: &Entry, publish: &Publish) -> Option<String> {
    let others = fs::read_dir(entry.folder.parent()?).ok()?;
    others
        .filter_map(|other| fs::read(other.ok()?.path().join(crate::store::RECORD)).ok())
        .filter_map(|bytes| Record::read(&bytes).ok())
        .filter(|other| other.id != entry.record.id && other.phase != Phase::Deleting)
        .find(|other| {
            other
                .settings
                .publish
                .iter()
                .any(|port| (port.host, port.protocol) == (publish.host, publish.protocol))
        })
        .map(|other| other.name)
}
