//! Making the machines of a batch.
//!
//! First all records, under one lock, so that names and addresses are one
//! machine's alone; then every machine that was never started is started. A
//! process that is killed in between leaves machines that are stopped, and the
//! same batch again starts them.
//!
//! A machine has its private files from the moment that it has a record: whatever
//! starts it, it has a whole seed. They may run out, or be replaced where they
//! come from, so a batch that finds a machine which was never started replaces
//! them before it starts it. A machine that runs keeps those that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::SystemTime;

use meshvm_provider_api::{Batch, Created, Machine, PrivateFile};
use uuid::Uuid;

use super::{Host, each, read_settings, shortfall};
use crate::error::LocalError;
use crate::kind::USER_DATA_LIMIT;
use crate::media;
use crate::network::{NetworkError, Shared};
use crate::record::{Making, Phase, Record, request_hash};
use crate::seed::Seed;
use crate::settings::{BackendChoice, BackendKind};
use crate::store::{self, Entry};

/// The files that each machine alone may see, by its name.
pub(crate) type Private = BTreeMap<String, Vec<PrivateFile>>;

impl Host {
    /// Returns the machines that [`Host::create`] would make or start, and so needs private files of.
    ///
    /// A request that would be refused is refused here, before any are made.
    pub fn wanted(&self, batch: &Batch) -> Result<Vec<String>, LocalError> {
        let making = self.making(batch)?;
        let mut wanted = Vec::new();
        for name in names(batch) {
            let is_wanted = match self.store.entry(&name)? {
                None => true,
                Some(entry) => {
                    check_owner(&entry, &making)?;
                    match entry.record.phase {
                        Phase::Made => false,
                        Phase::Deleting => true,
                        Phase::Making => !self.backend(entry.record.backend)?.is_running(&entry)?,
                    }
                }
            };
            if is_wanted {
                wanted.push(name);
            }
        }
        Ok(wanted)
    }

    /// Checks a request, and makes ready what all its machines have in common.
    fn making<'b>(&self, batch: &'b Batch) -> Result<Making<'b>, LocalError> {
        check(batch)?;
        let mut settings = read_settings(&batch.template)?;
        let request = request_hash(batch).map_err(|source| LocalError::Request { source })?;
        let (backend, _) = self.choose(&settings)?;
        let image = self.backend(backend)?.prepare_image(&settings.image)?;
        settings.backend = match backend {
            BackendKind::Container => BackendChoice::Container,
            BackendKind::Vm => BackendChoice::Vm,
        };
        Ok(Making {
            batch,
            request,
            backend,
            image,
            settings,
            created: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        })
    }

    /// Makes the machines of a batch, or finishes making them.
    ///
    /// `private` has the files of those that [`Host::wanted`] returned.
    pub fn create(&self, batch: &Batch, mut private: Private) -> Result<Created, LocalError> {
        media::check_names(private.values().flatten().map(|file| file.name.as_str()))?;
        let making = self.making(batch)?;
        self.finish_deletes(&making)?;
        let entries = self.record(&making, &mut private)?;
        let started = each(&entries, |entry| self.make(entry, batch, &private));
        let mut created = Created {
            machines: Vec::new(),
            shortfall: None,
        };
        let mut failed = None;
        for made in started {
            match made {
                Ok(made) => created.machines.extend(made),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) if created.machines.is_empty() => Err(error),
            failed => {
                created.shortfall = failed.map(shortfall);
                Ok(created)
            }
        }
    }

    /// Finishes deleting machines of this batch whose deletion was killed, as their names are wanted.
    fn finish_deletes(&self, making: &Making<'_>) -> Result<(), LocalError> {
        for name in names(making.batch) {
            if let Some(entry) = self.store.entry(&name)?
                && entry.record.phase == Phase::Deleting
                && check_owner(&entry, making).is_ok()
            {
                self.remove(&entry.record.id, None)?;
            }
        }
        Ok(())
    }

    /// Writes the records of all machines of the batch that have none, and takes their files.
    fn record(&self, making: &Making<'_>, private: &mut Private) -> Result<Vec<Entry>, LocalError> {
        let batch = making.batch;
        let _lock = self.store.lock()?;
        self.store.sweep()?;
        let mut entries = Vec::new();
        let mut missing = Vec::new();
        for name in names(batch) {
            match self.store.entry(&name)? {
                None => match private.remove(&name) {
                    Some(files) => missing.push((name, files)),
                    None => return Err(LocalError::Went { name }),
                },
                Some(entry) => {
                    check_owner(&entry, making)?;
                    if entry.record.phase == Phase::Deleting {
                        return Err(LocalError::Busy { name });
                    }
                    entries.push(entry);
                }
            }
        }
        if missing.is_empty() {
            return Ok(entries);
        }
        let mut kept = Vec::new();
        for file in &batch.media {
            kept.push(media::keep(&self.data_dir, file)?);
        }
        let add = |name, address, files| self.add(making, name, address, files, &kept);
        if !self.backend(making.backend)?.has_addresses() {
            let mut others = self.store.entries()?;
            for (name, files) in missing {
                let address = self.backend(making.backend)?.own_address(&others)?;
                let entry = add(name, address, files)?;
                others.push(entry.clone());
                entries.push(entry);
            }
            return Ok(entries);
        }
        let others = self.store.entries()?;
        let mut taken: BTreeSet<Ipv4Addr> = others
            .iter()
            .filter_map(|other| other.record.address)
            .collect();
        let shared = Shared::lock()?;
        let mut plan = self.network.plan(&shared, !taken.is_empty())?;
        let mut addresses = Vec::new();
        for (name, files) in missing {
            let subnet = plan.subnet;
            let (address, next) = subnet
                .allocate(plan.next, &taken)
                .ok_or(NetworkError::Full { subnet })?;
            taken.insert(address);
            plan.next = next;
            addresses.push((name, address, files));
        }
        self.network.write(&plan)?;
        for (name, address, files) in addresses {
            entries.push(add(name, Some(address), files)?);
        }
        // After the records: who deletes the last of them takes the network down.
        self.network.up(&shared)?;
        Ok(entries)
    }

    fn add(
        &self,
        making: &Making<'_>,
        name: String,
        address: Option<Ipv4Addr>,
        files: Vec<PrivateFile>,
        kept: &[PathBuf],
    ) -> Result<Entry, LocalError> {
        let backend = self.backend(making.backend)?;
        let record = Record::new(making, name, address, Uuid::new_v4());
        let seed = Seed::new(&record, &making.batch.user_data, files);
        self.store.add(record, |entry| {
            backend.furnish(entry)?;
            backend.write_seed(entry, &seed)?;
            if !kept.is_empty() {
                media::link(kept, &entry.folder.join(media::FOLDER))?;
            }
            Ok(())
        })
    }

    /// Starts a machine that was never started; `None` when it was deleted meanwhile.
    ///
    /// What `private` still has of it replaces the files that a killed process gave it.
    fn make(
        &self,
        entry: &Entry,
        batch: &Batch,
        private: &Private,
    ) -> Result<Option<Machine>, LocalError> {
        if entry.record.phase == Phase::Made {
            return self.look(entry);
        }
        let Some(mut locked) = self.store.locked(&entry.record.id)? else {
            return Ok(None);
        };
        let entry = &mut locked.entry;
        match entry.record.phase {
            Phase::Made => {}
            Phase::Deleting => return Ok(None),
            Phase::Making => {
                let backend = self.backend(entry.record.backend)?;
                if let Some(files) = private.get(&entry.record.name) {
                    // A start that the killed process began may still be under way, with the old ones.
                    backend.destroy(entry)?;
                    let seed = Seed::new(&entry.record, &batch.user_data, files.clone());
                    backend.write_seed(entry, &seed)?;
                }
                backend.start(entry)?;
                entry.record.phase = Phase::Made;
                store::save(entry)?;
            }
        }
        self.look(entry)
    }
}

/// Checks what can be wrong with a request, whoever made it.
fn check(batch: &Batch) -> Result<(), LocalError> {
    let bytes = batch.user_data.len();
    if bytes > USER_DATA_LIMIT {
        return Err(LocalError::UserData {
            bytes,
            limit: USER_DATA_LIMIT,
        });
    }
    // Names become folders and devices: nothing else may reach them.
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = |name: &str| {
        name.len() <= 63
            && name.chars().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-')
    };
    if let Some(name) = names(batch).find(|name| !fits(name)) {
        return Err(LocalError::Name { name });
    }
    Ok(media::check(&batch.media)?)
}

fn names(batch: &Batch) -> impl Iterator<Item = String> {
    (0..batch.count).map(|index| batch.key.machine_name(&batch.ownership.fleet, index))
}

/// Checks that a machine which has the name wanted was made by this very request.
fn check_owner(entry: &Entry, making: &Making<'_>) -> Result<(), LocalError> {
    let key = making.batch.key;
    if entry.record.key != key {
        return Err(LocalError::NameUsed {
            name: entry.record.name.clone(),
        });
    }
    if entry.record.request != making.request {
        return Err(LocalError::KeyUsed { key });
    }
    Ok(())
}
