//! What all data folders of this computer share: which subnets are theirs, and its switches.
//!
//! It is kept below `/run`, since bridges and switches do not survive a restart
//! of the computer either. Nothing here is touched without [`Shared`], the lock
//! of the computer. The folder goes with the last network.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::links::device_exists;
use super::{Net, NetworkError, Subnet};
use crate::files::{self, doing};
use crate::locks::Lock;
use crate::names::PREFIX;

const FOLDER: &str = "/run/meshvm";
const LOCK: &str = "lock";
/// A number of the kernel that machines need to be so high.
struct Switch {
    /// Where it is set.
    path: &'static str,
    /// The name of the note that says what it was.
    note: &'static str,
    /// The least that machines need.
    least: u64,
    /// Whether nothing works without it.
    vital: bool,
}

/// What is changed while there is a machine.
const SWITCHES: [Switch; 2] = [
    Switch {
        path: "/proc/sys/net/ipv4/ip_forward",
        note: "ip_forward",
        least: 1,
        vital: true,
    },
    // A booting systemd takes eight, all of them root's: the usual 128 are enough for sixteen
    // machines, and in the next ones units fail without a word.
    Switch {
        path: "/proc/sys/fs/inotify/max_user_instances",
        note: "max_user_instances",
        least: 8192,
        vital: false,
    },
];

/// The lock of this computer, held.
pub(crate) struct Shared {
    _lock: Lock,
}

/// A network that a data folder has, or is about to bring up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Claim {
    /// The subnet that nobody else shall take.
    pub subnet: Subnet,
    /// The file of the plan; without it the claim is what a killed process left.
    pub plan: PathBuf,
    /// Whether the network is up.
    pub up: bool,
}

/// Returns the claim on a bridge, without the lock: what it says may change.
pub(super) fn claim(bridge: &str) -> Result<Option<Claim>, NetworkError> {
    let path = Path::new(FOLDER).join(bridge);
    let Some(bytes) = files::read(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(claim) => Ok(Some(claim)),
        Err(source) => Err(NetworkError::Damaged { path, source }),
    }
}

impl Shared {
    /// Waits for the lock of this computer.
    pub fn lock() -> Result<Self, NetworkError> {
        let folder = Path::new(FOLDER);
        loop {
            files::folder(folder, 0o755)?;
            match Lock::file(&folder.join(LOCK), || {}) {
                Ok(lock) => return Ok(Self { _lock: lock }),
                // The last network went down in between, and took the folder along.
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes a claim down.
    pub(super) fn put(&self, bridge: &str, claim: &Claim) -> Result<(), NetworkError> {
        let path = Path::new(FOLDER).join(bridge);
        match serde_json::to_vec(claim) {
            Ok(bytes) => Ok(files::write(&path, &bytes, 0o644)?),
            Err(source) => Err(NetworkError::Damaged { path, source }),
        }
    }

    /// Returns the networks of other data folders, by bridge.
    fn others(&self, bridge: &str) -> Result<Vec<(String, Claim)>, NetworkError> {
        let folder = Path::new(FOLDER);
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(doing("list", folder))? {
            let name = entry.map_err(doing("list", folder))?.file_name();
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with(PREFIX) || name == bridge || name.contains('.') {
                continue;
            }
            if let Some(claim) = claim(&name)?
                && (claim.plan.exists() || device_exists(&name)?)
            {
                found.push((name, claim));
            }
        }
        Ok(found)
    }

    /// Returns the subnets that other data folders have.
    pub(super) fn taken(&self, bridge: &str) -> Result<Vec<Net>, NetworkError> {
        let others = self.others(bridge)?;
        Ok(others.iter().map(|(_, claim)| claim.subnet.net()).collect())
    }

    /// Sets the switches, and notes what they were.
    pub(super) fn switch(&self) -> Result<(), NetworkError> {
        for Switch {
            path,
            note,
            least,
            vital,
        } in SWITCHES
        {
            let path = Path::new(path);
            let before = fs::read_to_string(path).map_err(doing("read", path))?;
            if before.trim().parse().is_ok_and(|now: u64| now >= least) {
                continue;
            }
            files::write(&Path::new(FOLDER).join(note), before.as_bytes(), 0o644)?;
            let set = fs::write(path, least.to_string()).map_err(doing("write", path));
            if vital {
                set?;
            }
        }
        Ok(())
    }

    /// Puts the switches back to what they were.
    fn switch_back(&self) -> Result<(), NetworkError> {
        for Switch {
            path, note, vital, ..
        } in SWITCHES
        {
            let note = Path::new(FOLDER).join(note);
            let Some(before) = files::read(&note)? else {
                continue;
            };
            let path = Path::new(path);
            let set = fs::write(path, before).map_err(doing("write", path));
            if vital {
                set?;
            }
            files::remove(&note)?;
        }
        Ok(())
    }

    /// Gives up the claim on a bridge that is down, and puts back what no other network needs.
    pub(super) fn give_up(&self, bridge: &str) -> Result<(), NetworkError> {
        let folder = Path::new(FOLDER);
        let others = self.others(bridge)?;
        let mut up = false;
        for (name, _) in &others {
            up |= device_exists(name)?;
        }
        if !up {
            self.switch_back()?;
        }
        let claim = folder.join(bridge);
        files::remove_unfinished(&claim)?;
        files::remove(&claim)?;
        if others.is_empty() {
            files::remove_tree(folder)?;
        }
        Ok(())
    }
}
