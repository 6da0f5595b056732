//! Who holds a lock, and whether that process is certainly gone.
//!
//! A killed run leaves its lock behind until it expires. On the same computer
//! nobody has to wait for that: the kernel says whether the holder still runs.
//! It is asked only where its answer is certain: the same boot, the same pid
//! namespace, and no process of that number, or one that started at another
//! time. Anywhere else the holder counts as alive.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A writer of a stack, as another person needs to know it.
///
/// All of it is stored and shown: `command` must hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The user.
    pub who: String,
    /// The computer.
    pub host: String,
    /// The process on that computer.
    pub pid: u32,
    /// What it was told to do.
    pub command: String,
    /// When it started to do it.
    pub at: Timestamp,
    /// What tells the process from later ones of the same number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// What tells one process of a computer from all others, also those after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The kernel's name of this boot.
    boot: String,
    /// The namespace that the process number counts in.
    namespace: String,
    /// When the process started, in clock ticks since the boot.
    started: u64,
}

impl Holder {
    /// Describes the calling process.
    pub fn this_process(
        who: impl Into<String>,
        host: impl Into<String>,
        command: impl Into<String>,
        at: Timestamp,
    ) -> Self {
        let pid = std::process::id();
        Self {
            who: who.into(),
            host: host.into(),
            pid,
            command: command.into(),
            at,
            process: Process::read(pid),
        }
    }

    /// Returns whether the process certainly runs no longer.
    pub fn is_gone(&self) -> bool {
        let (Some(then), Some(here)) = (&self.process, Process::read(std::process::id())) else {
            return false;
        };
        if then.boot != here.boot || then.namespace != here.namespace {
            return false;
        }
        !exists(self.pid)
            || is_zombie(self.pid)
            || Process::read(self.pid).is_some_and(|now| now.started != then.started)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            who,
            host,
            pid,
            command,
            at: _,
            process: _,
        } = self;
        write!(f, "{who}@{host} (process {pid}, `{command}`)")
    }
}

impl Process {
    /// Reads it from `/proc`; `None` where there is none.
    fn read(pid: u32) -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field, the program's name, may hold blanks and parentheses.
        let (_, fields) = stat.rsplit_once(')')?;
        Some(Self {
            boot: boot.trim().to_owned(),
            namespace: namespace.to_string_lossy().into_owned(),
            started: fields.split_ascii_whitespace().nth(19)?.parse().ok()?,
        })
    }
}

/// Returns whether a process has ended, and its parent has not asked how: where the first process
/// of a container does not, that stays so.
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    state.is_some_and(|state| state.starts_with(['Z', 'X']))
}

/// Returns whether a process has this number, also where `/proc` hides it.
fn exists(pid: u32) -> bool {
    let Ok(pid) = i32::try_from(pid) else {
        return true;
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32) -> Holder {
        let mut holder = Holder::this_process("ann", "laptop", "apply", Timestamp::UNIX_EPOCH);
        assert!(holder.process.is_some(), "these tests need /proc");
        holder.pid = pid;
        holder
    }

    #[test]
    fn the_living_are_not_gone() {
        assert!(!holder(std::process::id()).is_gone());
    }

    #[test]
    fn a_killed_process_is_gone_and_so_is_one_whose_number_is_reused() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let mut of_child = holder(child.id());
        // The number of the child with the start of this process: another process had it.
        let start = Process::read(child.id()).unwrap().started;
        of_child.process.as_mut().unwrap().started = start + 1;
        assert!(of_child.is_gone());
        of_child.process.as_mut().unwrap().started = start;
        assert!(!of_child.is_gone());
        child.kill().unwrap();
        // Nobody has asked yet how it ended.
        while !is_zombie(child.id()) {
            std::thread::yield_now();
        }
        assert!(of_child.is_gone());
        child.wait().unwrap();
        assert!(of_child.is_gone());
    }

    #[test]
    fn nothing_is_known_of_other_computers() {
        let mut elsewhere = holder(u32::MAX >> 1);
        assert!(elsewhere.is_gone());
        elsewhere.process.as_mut().unwrap().boot = "another".into();
        assert!(!elsewhere.is_gone());
        elsewhere.process = None;
        assert!(!elsewhere.is_gone());
    }
}
