//! Machines that are virtual machines of QEMU: a kernel of their own, without root.
//!
//! The processor is the real one where a timed probe says so, and emulated
//! where not. A machine has two network cards: the first is on a segment that
//! all virtual machines of the data folder share, where it has its address;
//! the second is QEMU's user network, which leads out, and in through published ports.
//!
//! In a machine's folder, `disk.qcow2` is an overlay of the image, `seed.iso`
//! and `media.iso` are what it boots with, `result` is what its bootstrap has
//! reported since it was started, and `console.log` what it says.
//!
//! Invariants:
//! 1. Whether a machine runs is read from its process, whose arguments name its folder:
//!    another process that came to have its number is not mistaken for it.
//! 2. Nothing but its process is outside of its folder.
//! 3. A launch holds the folder's gate until the process is written down, even when
//!    whoever launched it was killed: so nobody misses a machine that comes up.

mod accelerator;
mod address;
mod arguments;
mod boot;
mod checks;
mod error;
mod images;
mod iso;
mod process;
mod qmp;
mod recipe;
mod report;

use std::env::consts;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::Path;

use meshvm_provider_api::{OpenContext, Progress};

use crate::backend::Backend;
use crate::error::LocalError;
use crate::files;
use crate::image::Image;
use crate::names::Names;
use crate::network::NetworkError;
use crate::seed::Seed;
use crate::size::Size;
use crate::store::Entry;
use crate::tools::{Tool, Tools};

pub(crate) use checks::checks;
pub(crate) use error::VmError;

/// The least memory that our own image boots with, and cloud-init needs.
const LEAST_MEMORY: Size = Size::mib(192);
/// Where the kernel tells its routes.
const ROUTES: &str = "/proc/net/route";

/// Makes and runs virtual machines.
pub(crate) struct Vms {
    names: Names,
    segment: address::Segment,
    accelerators: accelerator::Accelerators,
    images: images::Images,
    tools: Tools,
    progress: Progress,
}

impl Vms {
    pub fn new(data_dir: &Path, names: Names, tools: Tools, context: &OpenContext) -> Self {
        let progress = context.progress.clone();
        Self {
            names,
            segment: address::Segment::new(data_dir),
            accelerators: accelerator::Accelerators::new(data_dir, progress.clone()),
            images: images::Images::new(data_dir, tools.clone(), progress.clone()),
            tools,
            progress,
        }
    }

    /// Returns why virtual machines cannot run here, with the command that mends it; `None` when they can.
    pub fn obstacle() -> Option<String> {
        let error = check().err()?;
        Some(match error.hint() {
            Some(hint) => format!("{error} (run `{hint}`)"),
            None => error.to_string(),
        })
    }
}

/// Returns what running machines needs; of the programs that write disks, the one that is there.
fn run_tools() -> [Tool; 3] {
    let [first, second] = iso::WRITERS;
    let writer = if first.find().is_none() && second.find().is_some() {
        second
    } else {
        first
    };
    [Tool::QemuSystem, Tool::QemuImg, writer]
}

/// Checks that machines can run here.
fn check() -> Result<(), VmError> {
    if consts::ARCH != "x86_64" {
        return Err(VmError::Architecture { arch: consts::ARCH });
    }
    let mut tools = run_tools().to_vec();
    tools.retain(|tool| tool.find().is_none());
    if tools.is_empty() {
        Ok(())
    } else {
        Err(VmError::Lacks { tools })
    }
}

impl Backend for Vms {
    fn prepare_image(&self, image: &Image) -> Result<String, LocalError> {
        // Before a minute of building, and not after it.
        check()?;
        Ok(self.images.make(image)?)
    }

    fn has_addresses(&self) -> bool {
        false
    }

    fn own_address(&self, others: &[Entry]) -> Result<Option<Ipv4Addr>, LocalError> {
        let routes = files::read(Path::new(ROUTES))?.unwrap_or_default();
        let address = address::next(others, &String::from_utf8_lossy(&routes));
        Ok(Some(address.ok_or(NetworkError::NoSubnet)?))
    }

    fn furnish(&self, entry: &Entry) -> Result<(), LocalError> {
        Ok(self.furnish(entry)?)
    }

    fn write_seed(&self, entry: &Entry, seed: &Seed) -> Result<(), LocalError> {
        Ok(self.write_seed(entry, seed)?)
    }

    fn start(&self, entry: &Entry) -> Result<(), LocalError> {
        Ok(self.launch(entry)?)
    }

    fn adjust(&self, entry: &Entry) -> Result<(), LocalError> {
        Ok(self.relaunch(entry)?)
    }

    fn is_running(&self, entry: &Entry) -> Result<bool, LocalError> {
        let process = process::Process::of(&entry.folder)?;
        Ok(process.is_some_and(|process| !process.ending))
    }

    fn report(&self, entry: &Entry) -> Result<Option<Vec<u8>>, LocalError> {
        let age = process::Process::of(&entry.folder)?.map(|process| process.age());
        // Our own image, which has its kernel beside it.
        let says_booted = self.images.kernel(&entry.record.image).is_some();
        Ok(report::read(&entry.folder, age, says_booted)?)
    }

    fn destroy(&self, entry: &Entry) -> Result<(), LocalError> {
        Ok(self.kill(entry)?)
    }
}

impl Vms {
    fn furnish(&self, entry: &Entry) -> Result<(), VmError> {
        let record = &entry.record;
        let settings = &record.settings;
        if settings.memory < LEAST_MEMORY {
            return Err(VmError::SmallMemory {
                memory: settings.memory,
                least: LEAST_MEMORY,
            });
        }
        if let Some(disk) = settings.disk {
            let image = self.images.size(&record.image)?;
            if disk < image {
                return Err(VmError::SmallDisk { disk, image });
            }
        }
        // The file system inside grows with the disk when it boots.
        let size = settings.disk.map(|disk| disk.bytes().to_string());
        let args = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"].map(OsString::from);
        let paths = [
            self.images.disk(&record.image).into_os_string(),
            entry.folder.join(arguments::DISK).into_os_string(),
        ];
        let args = args
            .into_iter()
            .chain(paths)
            .chain(size.map(OsString::from));
        self.tools.run(Tool::QemuImg, args)?;
        Ok(())
    }

    fn write_seed(&self, entry: &Entry, seed: &Seed) -> Result<(), VmError> {
        let address = entry.record.address;
        let segment = address.map(|address| (self.names.mac(address), address));
        let segment = segment
            .as_ref()
            .map(|(mac, address)| (mac.as_str(), *address));
        let network = iso::network_config(arguments::USER_MAC, segment);
        iso::write_seed(&self.tools, &entry.folder, seed, &network)
    }
}

#[cfg(test)]
mod samples {
    use serde_json::json;

    use crate::record::Record;
    use crate::settings::LocalSettings;

    /// Returns the record of some machine.
    pub(super) fn record() -> Record {
        let record = json!({
            "format": 1, "id": "f-0-00000000", "name": "f-0", "zone": "local", "created": "now",
            "phase": "made", "backend": "vm", "image": "i", "settings": LocalSettings::default(),
            "key": "00000000-0000-0000-0000-000000000000", "request": "0", "labels": {}, "address": null,
        });
        Record::read(record.to_string().as_bytes()).unwrap()
    }
}
