//! The cgroups of containers: they say what runs, end it, and limit it.
//!
//! A container's processes are in its own cgroup and in none other, in every
//! hierarchy: so "runs" means that its cgroup is populated, whoever started it,
//! and killing the cgroup leaves no process behind. Two ways lead there. Where
//! systemd runs this computer, the cgroup belongs to a unit that systemd makes;
//! elsewhere it is made here, at the top, beside everybody's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::files::{FileError, doing};
use crate::size::Size;
use crate::tools::{Tool, ToolError, Tools};

/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(10);
/// The wait between two looks at a cgroup.
const LOOK: Duration = Duration::from_millis(5);
/// The time, in microseconds, over which CPU time is limited; the kernel's default.
const PERIOD: u64 = 100_000;

/// Something is wrong with the cgroups.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CgroupError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// There is no hierarchy of version 2, which tells whether a cgroup is empty.
    #[error("no cgroup2 file system is mounted")]
    NoUnified,
    /// The kernel cannot kill a cgroup.
    #[error("this kernel cannot kill cgroups, it must be Linux 5.14 or later")]
    NoKill,
    /// Killed processes do not go away.
    #[error("the processes of {unit} are still there {} s after they were killed", GONE.as_secs())]
    Stuck {
        /// The cgroup.
        unit: String,
    },
    /// More memory is in use than the new limit.
    #[error("{unit} cannot give back memory down to {limit}")]
    InUse {
        /// The cgroup.
        unit: String,
        /// The new limit.
        limit: Size,
    },
}

/// How this computer's cgroups are laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Where version 2 is mounted.
    unified: PathBuf,
    /// Where systemd's own hierarchy of version 1 is mounted, if it is.
    named: Option<PathBuf>,
    /// Where version 1 limits memory, if it does.
    memory: Option<PathBuf>,
    /// Where version 1 limits CPU time, if it does.
    cpu: Option<PathBuf>,
    /// Whether systemd runs this computer.
    systemd: bool,
}

impl Layout {
    /// Looks at this computer.
    pub fn look() -> Result<Self, CgroupError> {
        let path = Path::new("/proc/self/mountinfo");
        let mounts = fs::read_to_string(path).map_err(doing("read", path))?;
        // This is how sd_booted(3) tells.
        Self::read(&mounts, Path::new("/run/systemd/system").is_dir())
    }

    /// Reads the layout out of a list of mounts.
    pub fn read(mountinfo: &str, systemd: bool) -> Result<Self, CgroupError> {
        let mut unified = None;
        let mut legacy: Vec<(PathBuf, Vec<&str>)> = Vec::new();
        for line in mountinfo.lines() {
            let Some((mount, system)) = line.split_once(" - ") else {
                continue;
            };
            let mut system = system.split(' ');
            let (kind, options) = (system.next(), system.nth(1).unwrap_or_default());
            let Some(path) = mount.split(' ').nth(4).map(PathBuf::from) else {
                continue;
            };
            if !path.starts_with("/sys/fs/cgroup") {
                continue;
            }
            match kind {
                Some("cgroup2") => unified = Some(path),
                Some("cgroup") => legacy.push((path, options.split(',').collect())),
                Some(_) | None => {}
            }
        }
        let find = |controller: &str| {
            let found = legacy.iter().find(|(_, list)| list.contains(&controller));
            found.map(|(path, _)| path.clone())
        };
        Ok(Self {
            unified: unified.ok_or(CgroupError::NoUnified)?,
            named: find("name=systemd"),
            memory: find("memory"),
            cpu: find("cpu"),
            systemd,
        })
    }

    /// Returns whether systemd runs this computer, and so its cgroups.
    pub fn systemd(&self) -> bool {
        self.systemd
    }

    /// Returns what is not limited here, whatever is asked for.
    pub fn unlimited(&self) -> Vec<&'static str> {
        let offered = self.unified.join("cgroup.controllers");
        let offered = fs::read_to_string(offered).unwrap_or_default();
        let lacks = |name: &str, legacy: &Option<PathBuf>| {
            legacy.is_none() && !offered.split_whitespace().any(|offer| offer == name)
        };
        [("memory", &self.memory), ("cpu", &self.cpu)]
            .into_iter()
            .filter(|(name, legacy)| lacks(name, legacy))
            .map(|(name, _)| name)
            .collect()
    }

    /// Returns the folder of a unit in the hierarchy of version 2.
    fn folder(&self, unit: &str) -> PathBuf {
        if self.systemd {
            self.unified.join(format!("system.slice/{unit}.service"))
        } else {
            self.unified.join(unit)
        }
    }

    /// Returns whether a process of the unit is alive.
    pub fn is_populated(&self, unit: &str) -> Result<bool, CgroupError> {
        populated(&self.folder(unit))
    }

    /// Returns whether the container itself runs, and not only what starts it.
    pub fn is_booted(&self, unit: &str) -> Result<bool, CgroupError> {
        populated(&self.folder(unit).join("payload"))
    }

    /// Makes the cgroups of a unit, where systemd does not, and returns the files to enter them by.
    pub fn make(&self, unit: &str) -> Result<Vec<PathBuf>, CgroupError> {
        if self.systemd {
            return Ok(Vec::new());
        }
        if self.memory.is_none() || self.cpu.is_none() {
            self.offer();
        }
        let mut entries = Vec::new();
        for folder in self.folders(unit) {
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(doing("create", &folder)(error).into());
                }
                Ok(()) | Err(_) => entries.push(folder.join("cgroup.procs")),
            }
        }
        Ok(entries)
    }

    /// Offers the controllers of version 2 to cgroups at the top.
    ///
    /// It fails where version 1 holds them, and then they are not needed.
    fn offer(&self) {
        let file = self.unified.join("cgroup.subtree_control");
        for controller in ["+memory", "+cpu"] {
            let _ = poke(&file, controller);
        }
    }

    /// Returns the folders of a unit in all hierarchies that matter.
    fn folders(&self, unit: &str) -> BTreeSet<PathBuf> {
        [
            Some(&self.unified),
            self.named.as_ref(),
            self.memory.as_ref(),
            self.cpu.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(|top| top.join(unit))
        .collect()
    }

    /// Returns the properties by which systemd limits a unit.
    pub fn properties(memory: Size, cpus: u32) -> [String; 2] {
        [
            format!("MemoryMax={}", memory.bytes()),
            format!("CPUQuota={}%", u64::from(cpus) * 100),
        ]
    }

    /// Limits a unit that exists; again to change the limits.
    pub fn limit(
        &self,
        tools: &Tools,
        unit: &str,
        memory: Size,
        cpus: u32,
    ) -> Result<(), CgroupError> {
        if self.systemd {
            let [memory, cpu] = Self::properties(memory, cpus);
            let service = format!("{unit}.service");
            let args = ["set-property", "--runtime", &service, &memory, &cpu];
            tools.run(Tool::Systemctl, args)?;
            return Ok(());
        }
        let set = |folder: PathBuf, file: &str, value: String| {
            let file = folder.join(file);
            match poke(&file, value) {
                // Where a controller is missing, so is its file; `unlimited` says so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    Err(CgroupError::InUse {
                        unit: unit.to_owned(),
                        limit: memory,
                    })
                }
                Err(error) => Err(doing("write", &file)(error).into()),
                Ok(()) => Ok(()),
            }
        };
        let quota = PERIOD * u64::from(cpus);
        match &self.memory {
            Some(top) => set(
                top.join(unit),
                "memory.limit_in_bytes",
                memory.bytes().to_string(),
            )?,
            None => set(self.folder(unit), "memory.max", memory.bytes().to_string())?,
        }
        match &self.cpu {
            Some(top) => set(top.join(unit), "cpu.cfs_quota_us", quota.to_string()),
            None => set(self.folder(unit), "cpu.max", format!("{quota} {PERIOD}")),
        }
    }

    /// Kills every process of a unit, and waits until they are gone.
    pub fn kill(&self, unit: &str) -> Result<(), CgroupError> {
        let folder = self.folder(unit);
        let deadline = Instant::now() + GONE;
        while populated(&folder)? {
            let switch = folder.join("cgroup.kill");
            match poke(&switch, "1") {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if folder.exists() {
                        return Err(CgroupError::NoKill);
                    }
                }
                // The folder went away while it was open.
                Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => {}
                Err(error) => return Err(doing("write", &switch)(error).into()),
            }
            if Instant::now() > deadline {
                return Err(CgroupError::Stuck {
                    unit: unit.to_owned(),
                });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Removes the empty cgroups of a unit; safe to repeat.
    pub fn remove(&self, unit: &str) -> Result<(), CgroupError> {
        let deadline = Instant::now() + GONE;
        loop {
            let left = if self.systemd {
                // systemd removes what it made, a moment after the last process is gone.
                Some(self.folder(unit)).filter(|folder| folder.exists())
            } else {
                let mut left = None;
                for folder in self.folders(unit) {
                    if !remove_empty(&folder)? {
                        left = Some(folder);
                    }
                }
                left
            };
            if left.is_none() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(CgroupError::Stuck {
                    unit: unit.to_owned(),
                });
            }
            thread::sleep(LOOK);
        }
    }
}

/// Writes to a file of the kernel; one that it does not have is not to be made.
fn poke(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    File::options()
        .write(true)
        .open(path)?
        .write_all(text.as_ref())
}

fn populated(folder: &Path) -> Result<bool, CgroupError> {
    let events = folder.join("cgroup.events");
    match fs::read_to_string(&events) {
        Ok(events) => Ok(events.lines().any(|line| line == "populated 1")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(false),
        Err(error) => Err(doing("read", &events)(error).into()),
    }
}

/// Removes a cgroup and those in it, depth first; false when one is still in use.
fn remove_empty(folder: &Path) -> Result<bool, FileError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(doing("list", folder)(error)),
    };
    for entry in entries {
        let entry = entry.map_err(doing("list", folder))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !remove_empty(&entry.path())? {
            return Ok(false);
        }
    }
    match fs::remove_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(doing("delete", folder)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 31 0:38 / /elsewhere rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn both_layouts_are_understood() {
        let hybrid = Layout::read(HYBRID, false).unwrap();
        assert_eq!(hybrid.unified, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(hybrid.folders("u").len(), 4);
        assert_eq!(
            hybrid.cpu.as_deref(),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(hybrid.folder("u"), Path::new("/sys/fs/cgroup/unified/u"));

        let mounts = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let unified = Layout::read(mounts, true).unwrap();
        assert_eq!(unified.memory, None);
        assert_eq!(
            unified.folder("u"),
            Path::new("/sys/fs/cgroup/system.slice/u.service")
        );
        assert!(matches!(
            Layout::read("", true),
            Err(CgroupError::NoUnified)
        ));
    }

    #[test]
    fn systemd_is_told_the_limits() {
        let properties = Layout::properties(Size::mib(1), 2);
        assert_eq!(properties, ["MemoryMax=1048576", "CPUQuota=200%"]);
    }
}
