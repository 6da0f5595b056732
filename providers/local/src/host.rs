//! This computer as a cloud: the operations of the provider, each in one piece and blocking.
//!
//! A killed operation leaves machines that are listed as what they are, and
//! that the same operation finishes when it is repeated.

mod create;
mod delete;
mod update;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use meshvm_provider_api::{
    Machine, MachineId, OpenContext, Progress, ProviderError, Query, Readiness, Requests,
    Shortfall, Template, labels,
};
use serde::Deserialize;

use crate::backend::{Abilities, Backend, choose};
use crate::container::Containers;
use crate::error::LocalError;
use crate::locks::Lock;
use crate::names::Names;
use crate::network::Network;
use crate::record::{power, readiness};
use crate::settings::{BackendKind, LocalSettings};
use crate::store::{Entry, Store};
use crate::tools::Tools;
use crate::vm::Vms;

/// How many machines are started or stopped at once.
const AT_ONCE: usize = 8;

/// The machines of a data folder.
pub(crate) struct Host {
    data_dir: PathBuf,
    store: Store,
    network: Arc<Network>,
    containers: Containers,
    vms: Vms,
    progress: Progress,
    requests: Requests,
}

impl Host {
    /// Opens a data folder; nothing is made or changed.
    pub fn open(context: &OpenContext) -> Result<Self, LocalError> {
        let data_dir = settle(&context.data_dir);
        let safe = |c: char| c.is_alphanumeric() || "/-_.+~@ ".contains(c);
        let path = data_dir.to_str().filter(|path| path.chars().all(safe));
        if path.is_none() {
            return Err(LocalError::DataDir {
                path: data_dir.display().to_string(),
            });
        }
        let tools = Tools::new(context.requests.clone());
        let names = Names::new(&data_dir);
        let network = Arc::new(Network::new(&data_dir, names.clone(), tools.clone()));
        Ok(Self {
            store: Store::new(&data_dir),
            vms: Vms::new(&data_dir, names.clone(), tools.clone(), context),
            containers: Containers::new(&data_dir, names, network.clone(), tools, context),
            network,
            progress: context.progress.clone(),
            requests: context.requests.clone(),
            data_dir,
        })
    }

    /// Chooses what the machines of a template are, and says why.
    pub fn choose(&self, settings: &LocalSettings) -> Result<(BackendKind, String), LocalError> {
        choose(settings, &abilities())
    }

    fn backend(&self, kind: BackendKind) -> Result<&dyn Backend, LocalError> {
        match kind {
            BackendKind::Container => Ok(&self.containers),
            BackendKind::Vm => Ok(&self.vms),
        }
    }

    /// Makes the base image of a template ready.
    pub fn prepare(&self, template: &Template) -> Result<(), LocalError> {
        let settings = read_settings(template)?;
        let (kind, why) = self.choose(&settings)?;
        self.progress.say(&format!("backend {kind}: {why}"));
        self.backend(kind)?.prepare_image(&settings.image)?;
        Ok(())
    }

    /// Lists machines.
    pub fn observe(&self, query: &Query) -> Result<Vec<Machine>, LocalError> {
        self.requests.count("list");
        let entries = match query {
            Query::Stack(stack) => {
                let mut entries = self.store.entries()?;
                entries.retain(|entry| entry.record.stack() == Some(stack));
                entries
            }
            Query::Labelled(patterns) => {
                let mut entries = self.store.entries()?;
                entries.retain(|entry| {
                    patterns.iter().all(|(key, pattern)| {
                        let value = entry.record.labels.get(key);
                        value.is_some_and(|value| labels::fits(pattern, value))
                    })
                });
                entries
            }
            Query::Machines(ids) => {
                let mut ids: Vec<&MachineId> = ids.iter().collect();
                ids.sort();
                ids.dedup();
                let mut entries = Vec::new();
                for id in ids {
                    entries.extend(self.store.by_id(id)?);
                }
                entries
            }
        };
        let mut machines = Vec::new();
        for entry in &entries {
            machines.extend(self.look(entry)?);
        }
        Ok(machines)
    }

    /// Returns a machine as it is; `None` when it is on its way out.
    fn look(&self, entry: &Entry) -> Result<Option<Machine>, LocalError> {
        let backend = self.backend(entry.record.backend)?;
        let busy = Lock::is_held(&entry.folder)?;
        let running = backend.is_running(entry)?;
        let Some(power) = power(entry.record.phase, running, busy) else {
            return Ok(None);
        };
        let readiness = match backend.report(entry) {
            Ok(report) => readiness(report.as_deref()),
            // What stands in the report's place is the machine's doing, and no reason to list no other.
            Err(error) => Readiness::Failed {
                reason: format!("its report cannot be read: {error}"),
            },
        };
        let record = &entry.record;
        Ok(Some(Machine {
            id: record.id.clone(),
            name: record.name.clone(),
            zone: record.zone.clone(),
            power,
            readiness,
            address: record.address.map(Into::into),
            labels: record.labels.clone(),
            attributes: record.attributes(),
        }))
    }
}

/// Returns what this computer can do.
pub(crate) fn abilities() -> Abilities {
    Abilities {
        no_container: Containers::obstacle(),
        no_vm: Vms::obstacle(),
    }
}

/// Reads the settings out of a template.
pub(crate) fn read_settings(template: &Template) -> Result<LocalSettings, LocalError> {
    LocalSettings::deserialize(&template.settings).map_err(|source| LocalError::Settings { source })
}

/// Returns the path of a folder without links in it, as far as it exists.
fn settle(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for parent in path.ancestors() {
        if let Ok(real) = parent.canonicalize() {
            return match path.strip_prefix(parent) {
                Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                Ok(_) | Err(_) => real,
            };
        }
    }
    path
}

/// Does something to each of many, a few at once; the answers are in their order.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            match items.get(index) {
                Some(item) => done.push((index, work(item))),
                None => return done,
            }
        }
    };
    let mut done = thread::scope(|scope| {
        let workers: Vec<_> = (1..items.len().min(AT_ONCE))
            .map(|_| scope.spawn(worker))
            .collect();
        let mut done = worker();
        for other in workers {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// Says for a partly done batch what stopped the rest.
fn shortfall(error: LocalError) -> Shortfall {
    let ProviderError { class, message, .. } = error.into();
    Shortfall { class, message }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use meshvm_provider_api::Shared;

    use super::*;

    #[test]
    fn each_keeps_the_order() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = each(&items, |item| item * 2);
        assert_eq!(doubled, (0..200).step_by(2).collect::<Vec<_>>());
        assert!(each(&[] as &[u8], |_| ()).is_empty());
    }

    #[test]
    fn a_folder_has_one_name() {
        let top = tempfile::tempdir().unwrap();
        let real = top.path().canonicalize().unwrap();
        symlink(&real, top.path().join("link")).unwrap();
        assert_eq!(settle(&top.path().join("link/a/b")), real.join("a/b"));
        assert_eq!(settle(&top.path().join("link")), real);
    }

    #[test]
    fn odd_folders_are_refused() {
        let context = |path: &str| OpenContext {
            data_dir: path.into(),
            requests: Requests::default(),
            progress: Progress::silent(),
            shared: Shared::default(),
        };
        assert!(Host::open(&context("/srv/größe/a b.c")).is_ok());
        for path in ["/srv/a:b", "/srv/a,b", "/srv/a%b", "/srv/$a"] {
            assert!(Host::open(&context(path)).is_err(), "{path}");
        }
    }
}
