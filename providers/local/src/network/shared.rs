//! What all data folders of this computer share: which subnets are theirs, and one switch.
//!
//! It is kept below `/run`, since bridges and the switch do not survive a
//! restart of the computer either. Nothing here is touched without [`Shared`],
//! the lock of the computer. The folder goes with the last network.

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
/// The switch of IP forwarding.
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// Holds what the switch was before the first network came up.
const FORWARD_BEFORE: &str = "ip_forward";

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

    /// Switches IP forwarding on, and notes what it was.
    pub(super) fn forward(&self) -> Result<(), NetworkError> {
        let switch = Path::new(FORWARD);
        let before = fs::read_to_string(switch).map_err(doing("read", switch))?;
        if before.trim() == "0" {
            let note = Path::new(FOLDER).join(FORWARD_BEFORE);
            files::write(&note, before.as_bytes(), 0o644)?;
            fs::write(switch, "1").map_err(doing("write", switch))?;
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
            let note = folder.join(FORWARD_BEFORE);
            if let Some(before) = files::read(&note)? {
                let switch = Path::new(FORWARD);
                fs::write(switch, before).map_err(doing("write", switch))?;
                files::remove(&note)?;
            }
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
