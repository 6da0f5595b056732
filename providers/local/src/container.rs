//! Machines that are systemd containers over an overlay of a base image.
//!
//! A container is not a virtual machine: it shares this computer's kernel, and
//! root inside is root outside. It needs no more than that to boot systemd and
//! cloud-init with the user-data that a cloud's machine would get.
//!
//! In a machine's folder, `base` leads to the image, `upper` holds what differs
//! from it, `media` its media, and `console.log` what it said while starting.
//!
//! Invariants:
//! 1. Whether a container runs is read from its cgroup and nowhere else.
//! 2. Nothing is started before what an earlier run left outside of the folder is gone.
//! 3. Two systems never run on one disk, however many processes were killed while starting one.

mod cgroups;
mod images;
mod launch;
mod recipe;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use meshvm_provider_api::{OpenContext, Progress};
use nix::unistd::Uid;

use crate::backend::Backend;
use crate::error::LocalError;
use crate::files::{self, FileError, doing};
use crate::image::Image;
use crate::names::Names;
use crate::network::{Network, NetworkError};
use crate::seed::Seed;
use crate::store::Entry;
use crate::tools::{Tool, ToolError, Tools};

pub(crate) use cgroups::{CgroupError, Layout};
pub(crate) use images::{ImageError, Images};
pub(crate) use recipe::{KEYRING, Recipe};

/// What machines need to be made and run; building images needs more.
pub(crate) const TOOLS: [Tool; 7] = [
    Tool::Nspawn,
    Tool::Ip,
    Tool::Nft,
    Tool::Mount,
    Tool::Setpriv,
    Tool::Setsid,
    Tool::Unshare,
];

/// What building a Debian image needs.
pub(crate) const BUILD_TOOLS: [Tool; 2] = [Tool::Mmdebstrap, Tool::AptConfig];

/// Where a bootstrap reports.
const REPORT: &str = "var/lib/meshvm/result.json";
/// The most bytes of a report.
const REPORT_LIMIT: u64 = 1 << 16;
/// Where cloud-init looks for a seed: the folder that holds it, and its own name.
const SEED: (&str, &str) = ("var/lib/cloud/seed", "nocloud");

/// A container could not be made or run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The cgroups failed.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The image failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Containers need root.
    #[error("containers need root")]
    NotRoot,
    /// The base image of a machine is gone.
    #[error("the base image {image} of machine {name} is gone")]
    NoBase {
        /// The machine.
        name: String,
        /// The image.
        image: String,
    },
    /// The container ended before it had started, or never did.
    #[error("machine {name} did not start: {said}")]
    Start {
        /// The machine.
        name: String,
        /// The last that it said.
        said: String,
    },
}

/// Makes and runs containers.
pub(crate) struct Containers {
    names: Names,
    tools: Tools,
    progress: Progress,
    network: Arc<Network>,
    images: images::Images,
    layout: OnceLock<Layout>,
}

impl Containers {
    pub fn new(
        data_dir: &Path,
        names: Names,
        network: Arc<Network>,
        tools: Tools,
        context: &OpenContext,
    ) -> Self {
        let progress = context.progress.clone();
        Self {
            images: images::Images::new(data_dir, tools.clone(), progress.clone()),
            names,
            tools,
            progress,
            network,
            layout: OnceLock::new(),
        }
    }

    /// Returns how cgroups are laid out here; that is looked at once.
    fn layout(&self) -> Result<&Layout, ContainerError> {
        match self.layout.get() {
            Some(layout) => Ok(layout),
            None => {
                let layout = Layout::look()?;
                Ok(self.layout.get_or_init(|| layout))
            }
        }
    }

    /// Returns why containers cannot run here; `None` when they can.
    pub fn obstacle() -> Option<String> {
        if !is_root() {
            return Some("containers need root".to_owned());
        }
        if Tool::Nspawn.find().is_none() {
            return Some("systemd-nspawn is not installed".to_owned());
        }
        None
    }

    /// Ends whatever runs of a machine, and removes what is outside of its folder.
    fn clear(&self, entry: &Entry) -> Result<(), ContainerError> {
        let layout = self.layout()?;
        let unit = self.unit(entry);
        layout.kill(&unit)?;
        self.network.detach(&entry.record)?;
        Ok(layout.remove(&unit)?)
    }

    fn unit(&self, entry: &Entry) -> String {
        self.names.unit(&entry.record.name)
    }
}

/// Returns whether this process may do everything.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

fn require_root() -> Result<(), ContainerError> {
    if is_root() {
        Ok(())
    } else {
        Err(ContainerError::NotRoot)
    }
}

impl Backend for Containers {
    fn prepare_image(&self, image: &Image) -> Result<String, LocalError> {
        require_root()?;
        // Before half a minute of building, and not after it.
        for tool in TOOLS {
            tool.require().map_err(ContainerError::from)?;
        }
        let unlimited = self.layout()?.unlimited();
        if !unlimited.is_empty() {
            let what = unlimited.join(" and ");
            self.progress
                .say(&format!("this computer's cgroups do not limit {what}"));
        }
        Ok(self.images.make(image).map_err(ContainerError::from)?)
    }

    fn has_addresses(&self) -> bool {
        true
    }

    fn own_address(&self, _: &[Entry]) -> Result<Option<Ipv4Addr>, LocalError> {
        Ok(None)
    }

    fn furnish(&self, entry: &Entry) -> Result<(), LocalError> {
        require_root()?;
        furnish(&self.images.root(&entry.record.image), entry).map_err(ContainerError::from)?;
        Ok(())
    }

    fn write_seed(&self, entry: &Entry, seed: &Seed) -> Result<(), LocalError> {
        require_root()?;
        write_seed(entry, seed).map_err(ContainerError::from)?;
        Ok(())
    }

    fn start(&self, entry: &Entry) -> Result<(), LocalError> {
        require_root()?;
        let layout = self.layout()?;
        let unit = self.unit(entry);
        if launch::is_up(entry, layout, &unit)? {
            return Ok(());
        }
        // Before the clean-up: a start that another process began and did not live to see
        // either is in the cgroup by now, or will find that it is not wanted any more.
        let ticket = launch::ticket(entry).map_err(ContainerError::from)?;
        self.clear(entry)?;
        let started = self.launch(entry, layout, &unit, &ticket);
        if started.is_err() {
            // The first error says more than one of cleaning up.
            let _ = self.destroy(entry);
        }
        Ok(started?)
    }

    fn adjust(&self, entry: &Entry) -> Result<(), LocalError> {
        require_root()?;
        let settings = &entry.record.settings;
        let layout = self.layout()?;
        layout
            .limit(
                &self.tools,
                &self.unit(entry),
                settings.memory,
                settings.cpus,
            )
            .map_err(ContainerError::from)?;
        Ok(())
    }

    fn is_running(&self, entry: &Entry) -> Result<bool, LocalError> {
        let layout = self.layout()?;
        let running = layout.is_populated(&self.unit(entry));
        Ok(running.map_err(ContainerError::from)?)
    }

    fn report(&self, entry: &Entry) -> Result<Option<Vec<u8>>, LocalError> {
        let upper = entry.folder.join("upper");
        let report = files::read_untrusted(&upper, REPORT, REPORT_LIMIT);
        Ok(report.map_err(ContainerError::from)?)
    }

    fn destroy(&self, entry: &Entry) -> Result<(), LocalError> {
        require_root()?;
        launch::forbid(entry).map_err(ContainerError::from)?;
        Ok(self.clear(entry)?)
    }
}

/// Fills the folder of a new machine.
fn furnish(base: &Path, entry: &Entry) -> Result<(), FileError> {
    let link = entry.folder.join("base");
    symlink(base, &link).map_err(doing("link", &link))?;
    for name in ["upper", "work", "merged"] {
        // The mode of `upper` is that of the root folder inside.
        files::folder(&entry.folder.join(name), 0o755)?;
    }
    let upper = entry.folder.join("upper");
    // Whatever the image would do: the seed is the only source, and the network is set from outside.
    let config = files::folders(&upper, "etc/cloud/cloud.cfg.d", 0o755)?;
    let text = "datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\n";
    files::write(&config.join("99-meshvm-local.cfg"), text.as_bytes(), 0o644)?;
    files::sync(&upper)
}

/// Writes the seed of a machine that does not run.
fn write_seed(entry: &Entry, seed: &Seed) -> Result<(), FileError> {
    let upper = entry.folder.join("upper");
    let (parent, last) = SEED;
    let parent = files::folders(&upper, parent, 0o755)?;
    let folder = files::folders(&parent, last, 0o700)?;
    seed.write(&folder)?;
    files::sync(&folder)
}

/// Returns the last that a machine said while it started.
fn console_tail(folder: &Path) -> String {
    const LINES: usize = 8;
    let text = fs::read(folder.join(launch::CONSOLE)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let last = lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default();
    if last.is_empty() {
        "it said nothing".to_owned()
    } else {
        last.join("; ")
    }
}
