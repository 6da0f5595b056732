//! What a machine is made of: the seam between the provider and its two backends.
//!
//! The provider keeps the records, hands out addresses, and decides what is to
//! be done and when; a backend does it to one machine. A backend sees only
//! machines that have a record, and is the only one to look into their folders.

use std::net::Ipv4Addr;

use crate::error::LocalError;
use crate::image::Image;
use crate::seed::Seed;
use crate::settings::{BackendChoice, BackendKind, LocalSettings};
use crate::store::Entry;

/// Makes and runs machines of one kind.
///
/// Every method but [`Backend::is_running`] and [`Backend::report`] is called
/// with the machine locked, or before anyone can see it.
pub(crate) trait Backend: Send + Sync {
    /// Makes a base image ready and returns its id; quick when it is.
    fn prepare_image(&self, image: &Image) -> Result<String, LocalError>;

    /// Returns whether its machines have addresses of this computer's network of machines.
    fn has_addresses(&self) -> bool;

    /// Returns the address of a new machine, where the backend has a network of its own;
    /// `others` are all machines there are, and the caller holds the lock of the data folder.
    fn own_address(&self, others: &[Entry]) -> Result<Option<Ipv4Addr>, LocalError>;

    /// Puts the disk into the folder of a new machine, which has no name yet.
    fn furnish(&self, entry: &Entry) -> Result<(), LocalError>;

    /// Writes the seed of a machine that does not run, in place of the one that it has.
    ///
    /// A killed process leaves one of the two.
    fn write_seed(&self, entry: &Entry, seed: &Seed) -> Result<(), LocalError>;

    /// Starts a machine, and returns once it runs; the process lives on without this one.
    ///
    /// Nothing of it runs after an error. A machine that runs is left alone.
    fn start(&self, entry: &Entry) -> Result<(), LocalError>;

    /// Brings the record's memory, CPUs and ports into effect on a machine that
    /// runs, restarting it when there is no other way.
    fn adjust(&self, entry: &Entry) -> Result<(), LocalError>;

    /// Returns whether the machine runs; quick, and without running a program.
    fn is_running(&self, entry: &Entry) -> Result<bool, LocalError>;

    /// Returns what its bootstrap reports, if anything; quick, and without running a program.
    fn report(&self, entry: &Entry) -> Result<Option<Vec<u8>>, LocalError>;

    /// Stops a machine as if its power failed, and removes all of it that is
    /// not in its folder; safe to repeat, and on a machine that was never started.
    fn destroy(&self, entry: &Entry) -> Result<(), LocalError>;
}

/// What this computer can do, as far as the choice of a backend needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Why containers cannot run here; `None` when they can.
    pub no_container: Option<String>,
    /// Why virtual machines cannot run here; `None` when they can.
    pub no_vm: Option<String>,
}

/// Chooses what machines are, and says why.
pub(crate) fn choose(
    settings: &LocalSettings,
    abilities: &Abilities,
) -> Result<(BackendKind, String), LocalError> {
    let cannot = |reasons: Vec<String>| LocalError::NoBackend {
        reason: reasons.join("; "),
    };
    match settings.backend {
        BackendChoice::Container => match &abilities.no_container {
            None => Ok((BackendKind::Container, "the fleet file says so".to_owned())),
            Some(reason) => Err(cannot(vec![reason.clone()])),
        },
        BackendChoice::Vm => match &abilities.no_vm {
            None => Ok((BackendKind::Vm, "the fleet file says so".to_owned())),
            Some(reason) => Err(cannot(vec![reason.clone()])),
        },
        BackendChoice::Auto => {
            let against = match (settings.needs_vm(), &abilities.no_container) {
                (Some(field), _) => format!("a container has no `{field}`"),
                (None, Some(reason)) => reason.clone(),
                (None, None) => {
                    let why = "this computer can run containers, which start soonest";
                    return Ok((BackendKind::Container, why.to_owned()));
                }
            };
            match &abilities.no_vm {
                None => Ok((BackendKind::Vm, against)),
                Some(reason) => Err(cannot(vec![against, reason.clone()])),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::Size;

    #[test]
    fn the_choice_is_explained() {
        let able = |container: Option<&str>, vm: Option<&str>| Abilities {
            no_container: container.map(str::to_owned),
            no_vm: vm.map(str::to_owned),
        };
        let with = |backend| LocalSettings {
            backend,
            ..LocalSettings::default()
        };
        let disk = LocalSettings {
            disk: Some(Size::mib(1)),
            ..LocalSettings::default()
        };
        let chosen = |settings: &LocalSettings, abilities: &Abilities| {
            choose(settings, abilities).map_err(|error| error.to_string())
        };
        let auto = with(BackendChoice::Auto);
        let both = able(None, None);
        assert_eq!(chosen(&auto, &both).unwrap().0, BackendKind::Container);
        let vm = (BackendKind::Vm, "a container has no `disk`".to_owned());
        assert_eq!(chosen(&disk, &both).unwrap(), vm);
        let vm = (BackendKind::Vm, "no root".to_owned());
        assert_eq!(chosen(&auto, &able(Some("no root"), None)).unwrap(), vm);
        let neither = able(Some("no root"), Some("no qemu"));
        let error = chosen(&auto, &neither).unwrap_err();
        assert!(error.ends_with("no root; no qemu"), "{error}");
        for (backend, reason) in [
            (BackendChoice::Container, "no root"),
            (BackendChoice::Vm, "no qemu"),
        ] {
            let error = chosen(&with(backend), &neither).unwrap_err();
            assert!(error.ends_with(reason), "{error}");
            assert!(chosen(&with(backend), &both).is_ok());
        }
    }
}
