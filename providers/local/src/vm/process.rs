//! The process of a machine: finding it again, and ending it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::files::{self, FileError, doing};

/// Where QEMU writes the number of its process.
pub(super) const PIDFILE: &str = "qemu.pid";
/// How often the kernel counts in a second, in `/proc`.
const TICKS: u64 = 100;
/// The wait between two looks at a process that ends.
const LOOK: Duration = Duration::from_millis(5);

/// A process that is a machine's for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: Pid,
    /// When it was started, in ticks since the computer was: with the number, it is unmistakable.
    started: u64,
    /// What it was started with; empty when it is ending.
    pub arguments: Vec<String>,
    /// Whether it is ending: it executes nothing any more, and may still hold files and ports.
    pub ending: bool,
}

impl Process {
    /// Returns the process of the machine in a folder; `None` when it does not run.
    pub fn of(folder: &Path) -> Result<Option<Self>, FileError> {
        let pidfile = folder.join(PIDFILE);
        let Some(text) = files::read(&pidfile)? else {
            return Ok(None);
        };
        let Ok(number) = String::from_utf8_lossy(&text).trim().parse::<i32>() else {
            // It is being written, or a crash of the computer left it empty.
            return Ok(None);
        };
        let found = Self::numbered(number)?;
        // The path is in no other machine's arguments, on no computer. One that is ending
        // has no arguments left to read; whoever it is, it is gone in a moment.
        Ok(found.filter(|process| process.ending || process.names(&pidfile)))
    }

    fn numbered(number: i32) -> Result<Option<Self>, FileError> {
        let folder = PathBuf::from(format!("/proc/{number}"));
        let read = |name: &str| {
            let path = folder.join(name);
            match fs::read(&path) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if is_gone(&error) => Ok(None),
                Err(error) => Err(doing("read", &path)(error)),
            }
        };
        let (Some(stat), Some(cmdline)) = (read("stat")?, read("cmdline")?) else {
            return Ok(None);
        };
        let stat = read_stat(&String::from_utf8_lossy(&stat));
        let arguments = cmdline
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        Ok(stat.map(|(started, ending)| Self {
            pid: Pid::from_raw(number),
            started,
            arguments,
            ending,
        }))
    }

    fn names(&self, pidfile: &Path) -> bool {
        self.arguments
            .windows(2)
            .any(|pair| matches!(pair, [option, value] if option == "-pidfile" && Path::new(value) == pidfile))
    }

    /// Returns its number.
    pub fn number(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Returns how long it has been running; zero when that cannot be told.
    pub fn age(&self) -> Duration {
        let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let now = uptime.split('.').next().and_then(|text| text.parse().ok());
        let seconds = now.unwrap_or(0u64).saturating_sub(self.started / TICKS);
        Duration::from_secs(seconds)
    }

    /// Waits until it is gone; returns whether it is.
    pub fn is_gone_within(&self, limit: Duration) -> Result<bool, FileError> {
        let deadline = Instant::now() + limit;
        loop {
            let now = Self::numbered(self.number())?;
            if now.is_none_or(|now| now.started != self.started) {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
    }

    /// Kills it, unless it is gone already; returns whether it is gone within the limit.
    pub fn kill(&self, limit: Duration) -> Result<bool, FileError> {
        if self.ending || self.is_gone_within(Duration::ZERO)? {
            return self.is_gone_within(limit);
        }
        match kill(self.pid, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => self.is_gone_within(limit),
            Err(errno) => {
                let path = PathBuf::from(format!("/proc/{}", self.pid));
                Err(doing("kill", &path)(errno.into()))
            }
        }
    }
}

/// Returns whether reading failed since the process ended.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// Reads when a process was started, and whether it is ending; `None` for one of which nothing
/// but its number is left, until its parent takes notice.
fn read_stat(stat: &str) -> Option<(u64, bool)> {
    /// The kernel's mark of a task that is ending.
    const EXITING: u64 = 0x4;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let (flags, threads, started) = (number(6)?, number(17)?, number(19)?);
    // The first thread may be gone before others, which keep the files open.
    let gone = matches!(fields.first(), Some(&("Z" | "X" | "x"))) && threads <= 1;
    (!gone).then_some((started, flags & EXITING != 0))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_the_process_that_names_the_folder_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let pidfile = folder.path().join(PIDFILE);
        assert_eq!(Process::of(folder.path()).unwrap(), None);

        let mut child = Command::new("sh")
            .args(["-c", "read line", "sh", "-pidfile"])
            .arg(&pidfile)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // This process has a number as well, and another folder's arguments.
        for text in ["", "x", &std::process::id().to_string(), "2147483647"] {
            fs::write(&pidfile, text).unwrap();
            assert_eq!(Process::of(folder.path()).unwrap(), None, "{text}");
        }
        fs::write(&pidfile, format!("{}\n", child.id())).unwrap();
        let process = Process::of(folder.path()).unwrap().unwrap();
        assert!(process.age() < Duration::from_secs(60));
        assert!(!process.is_gone_within(Duration::ZERO).unwrap());

        // One that has ended but was not waited for does not run.
        assert!(process.kill(Duration::from_secs(10)).unwrap());
        assert_eq!(Process::of(folder.path()).unwrap(), None);
        child.wait().unwrap();
        assert!(process.kill(Duration::ZERO).unwrap());
    }

    #[test]
    fn a_process_is_gone_with_its_last_thread() {
        let stat = |name: &str, state: &str, flags: u64, threads: u64| {
            let zeros = "0 ".repeat(10);
            read_stat(&format!(
                "7 ({name}) {state} 1 1 1 0 -1 {flags} {zeros}{threads} 0 4321 9\n"
            ))
        };
        assert_eq!(stat("qemu", "S", 0x40, 3), Some((4321, false)));
        assert_eq!(stat("a) R (b", "S", 0x40, 1), Some((4321, false)));
        assert_eq!(stat("qemu", "Z", 0x44, 3), Some((4321, true)));
        assert_eq!(stat("qemu", "D", 0x44, 1), Some((4321, true)));
        assert_eq!(stat("qemu", "Z", 0x44, 1), None);
        assert_eq!(read_stat(""), None);
    }
}
