//! Deleting machines.
//!
//! A machine is marked first and its record deleted last, so that a killed
//! deletion leaves a machine that is listed, cannot be started, and can be deleted.

use std::collections::BTreeSet;

use meshvm_provider_api::MachineId;

use super::{Host, each};
use crate::error::LocalError;
use crate::media;
use crate::record::Phase;
use crate::store::{self, Entry};

impl Host {
    /// Deletes machines of a stack, with everything that was made for them.
    pub fn delete(&self, stack: &str, machines: &[MachineId]) -> Result<(), LocalError> {
        let machines: Vec<&MachineId> = machines
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        let mut found = Vec::new();
        for id in machines {
            if let Some(entry) = self.store.by_id(id)? {
                check_owner(&entry, stack)?;
                found.push(id);
            }
        }
        let answers = each(&found, |id| self.remove(id, Some(stack)));
        answers.into_iter().collect::<Result<(), _>>()?;
        self.tidy()
    }

    /// Deletes a machine; one that is gone is fine. `stack` must be its owner, when it is given.
    pub(super) fn remove(&self, id: &MachineId, stack: Option<&str>) -> Result<(), LocalError> {
        let Some(mut locked) = self.store.locked(id)? else {
            return Ok(());
        };
        let entry = &mut locked.entry;
        // It may have changed hands since all were looked at.
        if let Some(stack) = stack {
            check_owner(entry, stack)?;
        }
        entry.record.phase = Phase::Deleting;
        store::save(entry)?;
        self.backend(entry.record.backend)?.destroy(entry)?;
        self.store.empty(entry)?;
        let _lock = self.store.lock()?;
        let others = self.store.entries()?;
        if others.iter().all(|other| other.record.id == *id) {
            self.network.down()?;
        }
        Ok(self.store.forget(entry)?)
    }

    /// Deletes what belongs to no machine: what killed processes left, and media that none has.
    fn tidy(&self) -> Result<(), LocalError> {
        // Where nothing was ever made, nothing is to be tidied, nor a lock to be made.
        if !self.data_dir.exists() {
            return Ok(());
        }
        let _lock = self.store.lock()?;
        self.store.sweep()?;
        media::prune(&self.data_dir)?;
        if self.store.entries()?.is_empty() {
            self.network.down()?;
            self.store.close()?;
        }
        Ok(())
    }
}

fn check_owner(entry: &Entry, stack: &str) -> Result<(), LocalError> {
    if entry.record.stack() == Some(stack) {
        return Ok(());
    }
    Err(LocalError::NotOwned {
        id: entry.record.id.clone(),
        stack: stack.to_owned(),
    })
}
