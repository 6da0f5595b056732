//! The network of this computer's containers: one bridge for each data folder.
//!
//! The bridge and the address translation exist while there is a machine, and
//! what they changed on this computer is put back when the last one goes. Some
//! of that, such as IP forwarding, is one switch for all data folders of the
//! computer, and is put back by the last of them.
//!
//! Invariants:
//! 1. An address is handed out under the lock of the data folder, and written into
//!    a record before that lock is given back: no two machines ever have one.
//! 2. A subnet is chosen, and what all data folders share is changed, only under
//!    the lock of the computer; a subnet is claimed before an address of it is handed out.

mod firewall;
mod links;
mod shared;
mod subnet;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};
use crate::names::Names;
use crate::record::Record;
use crate::tools::{Tool, ToolError, Tools};

use links::{Route, device_exists};
use shared::Claim;
pub(crate) use shared::Shared;
pub(crate) use subnet::{BITS, Net, Subnet};

/// Where `ip netns` keeps namespaces.
const NAMESPACES: &str = "/run/netns";
/// The wait before something is tried again.
const AGAIN: Duration = Duration::from_millis(50);

/// Something is wrong with the network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file of the network is not what this crate writes.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// What `ip` says could not be understood.
    #[error("the answer of `ip` cannot be read")]
    Ip {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Every subnet is taken.
    #[error("every network from 10.64.0.0 to 10.253.0.0 is routed elsewhere")]
    NoSubnet,
    /// The subnet of existing machines is used otherwise by now.
    #[error("{subnet}, the network of the machines here, is now also routed to {device}")]
    Taken {
        /// The subnet of the machines.
        subnet: Subnet,
        /// Where it leads.
        device: String,
    },
    /// Every address is taken.
    #[error("no address is left in {subnet}")]
    Full {
        /// The subnet.
        subnet: Subnet,
    },
    /// A machine that should have an address has none.
    #[error("machine {name} has no address")]
    NoAddress {
        /// The machine.
        name: String,
    },
}

/// What is written down of the network, in `network.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plan {
    /// The subnet of all machines of this data folder.
    pub subnet: Subnet,
    /// The number of the address to try next.
    pub next: u16,
}

/// The network of a data folder.
pub(crate) struct Network {
    file: PathBuf,
    names: Names,
    tools: Tools,
}

impl Network {
    pub fn new(data_dir: &Path, names: Names, tools: Tools) -> Self {
        Self {
            file: data_dir.join("network.json"),
            names,
            tools,
        }
    }

    /// Returns the plan of the network; a new one while there is no machine.
    ///
    /// The caller holds the lock of the data folder.
    pub fn plan(&self, shared: &Shared, machines: bool) -> Result<Plan, NetworkError> {
        let bridge = self.names.bridge();
        let known = if machines { self.read()? } else { None };
        let plan = match known {
            Some(plan) => plan,
            None => {
                let mut taken = shared.taken(&bridge)?;
                let others = self.foreign(links::routes(&self.tools)?);
                taken.extend(others.iter().filter_map(|route| route.net));
                let subnet = Subnet::choose(&taken).ok_or(NetworkError::NoSubnet)?;
                let next = subnet::FIRST;
                Plan { subnet, next }
            }
        };
        self.write(&plan)?;
        if shared::claim(&bridge)?.is_none_or(|claim| claim.subnet != plan.subnet) {
            shared.put(&bridge, &self.claim(&plan, false))?;
        }
        Ok(plan)
    }

    fn claim(&self, plan: &Plan, up: bool) -> Claim {
        Claim {
            subnet: plan.subnet,
            plan: self.file.clone(),
            up,
        }
    }

    /// Writes down the plan; the caller holds the lock of the data folder.
    pub fn write(&self, plan: &Plan) -> Result<(), NetworkError> {
        let bytes = serde_json::to_vec(plan).map_err(|source| NetworkError::Damaged {
            path: self.file.clone(),
            source,
        })?;
        Ok(files::write(&self.file, &bytes, 0o644)?)
    }

    fn read(&self) -> Result<Option<Plan>, NetworkError> {
        let Some(bytes) = files::read(&self.file)? else {
            return Ok(None);
        };
        let plan = serde_json::from_slice(&bytes).map_err(|source| NetworkError::Damaged {
            path: self.file.clone(),
            source,
        })?;
        Ok(Some(plan))
    }

    /// Brings the network up if it is down, as after a restart of the computer.
    pub fn ensure_up(&self) -> Result<(), NetworkError> {
        match self.read()? {
            Some(plan) if !self.is_up(&plan)? => self.up(&Shared::lock()?),
            Some(_) | None => Ok(()),
        }
    }

    fn is_up(&self, plan: &Plan) -> Result<bool, NetworkError> {
        let bridge = self.names.bridge();
        Ok(shared::claim(&bridge)? == Some(self.claim(plan, true)) && device_exists(&bridge)?)
    }

    /// Brings the network up; safe to repeat.
    pub fn up(&self, shared: &Shared) -> Result<(), NetworkError> {
        match self.read()? {
            Some(plan) if !self.is_up(&plan)? => again(|| self.bring_up(shared, &plan)),
            Some(_) | None => Ok(()),
        }
    }

    fn bring_up(&self, shared: &Shared, plan: &Plan) -> Result<(), NetworkError> {
        let subnet = plan.subnet;
        let routes = links::routes(&self.tools)?;
        let mtu = links::default_mtu(&self.tools, &routes)?;
        let overlaps = |route: &Route| route.net.is_some_and(|net| subnet.net().overlaps(net));
        if let Some(Route { device, .. }) = self.foreign(routes).into_iter().find(overlaps) {
            return Err(NetworkError::Taken { subnet, device });
        }
        let bridge = self.names.bridge();
        let mut commands = String::new();
        if !device_exists(&bridge)? {
            let mac = self.names.bridge_mac();
            commands += &format!("link add {bridge} address {mac} mtu {mtu} type bridge\n");
        }
        commands += &format!(
            "addr flush dev {bridge}\naddr add {}/{} dev {bridge}\nlink set {bridge} up\n",
            subnet.gateway(),
            subnet::BITS
        );
        self.tools.feed(Tool::Ip, ["-batch", "-"], &commands)?;
        let table = self.names.table();
        let rules = format!(
            "table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n  \
             chain postrouting {{\n    type nat hook postrouting priority srcnat; policy accept;\n    \
             ip saddr {subnet} oifname != \"{bridge}\" masquerade\n  }}\n}}\n"
        );
        self.tools.feed(Tool::Nft, ["-f", "-"], &rules)?;
        firewall::open(&self.tools, &bridge)?;
        shared.switch()?;
        // Last: whoever sees it may rely on all of the above.
        shared.put(&bridge, &self.claim(plan, true))
    }

    /// Takes the network down, and puts back what it changed; safe to repeat.
    ///
    /// The caller holds the lock of the data folder, in which no machine is left.
    pub fn down(&self) -> Result<(), NetworkError> {
        files::remove_unfinished(&self.file)?;
        // What was never planned was never brought up.
        if !self.file.exists() {
            return Ok(());
        }
        let shared = Shared::lock()?;
        again(|| self.bring_down())?;
        shared.give_up(&self.names.bridge())?;
        Ok(files::remove(&self.file)?)
    }

    fn bring_down(&self) -> Result<(), NetworkError> {
        let bridge = self.names.bridge();
        if device_exists(&bridge)? {
            self.tools.run(Tool::Ip, ["link", "del", &bridge])?;
        }
        let table = self.names.table();
        let rules = format!("table ip {table}\ndelete table ip {table}\n");
        self.tools.feed(Tool::Nft, ["-f", "-"], &rules)?;
        Ok(firewall::close(&self.tools, &bridge)?)
    }

    /// Makes the network namespace of a machine, plugs it in, and returns its name.
    pub fn attach(&self, record: &Record) -> Result<String, NetworkError> {
        again(|| {
            self.unplug(record)?;
            self.plug_in(record)
        })
    }

    /// Takes a machine's network namespace and cable away; safe to repeat.
    pub fn detach(&self, record: &Record) -> Result<(), NetworkError> {
        again(|| self.unplug(record))
    }

    fn plug_in(&self, record: &Record) -> Result<String, NetworkError> {
        let address = record.address.ok_or_else(|| NetworkError::NoAddress {
            name: record.name.clone(),
        })?;
        let Some(Plan { subnet, .. }) = self.read()? else {
            return Err(NetworkError::NoSubnet);
        };
        let bridge = self.names.bridge();
        let namespace = self.names.unit(&record.name);
        let cable = self.names.cable(address);
        let mac = self.names.mac(address);
        let mtu = links::mtu(&self.tools, &bridge)?;
        let outside = format!(
            "netns add {namespace}\n\
             link add {cable} mtu {mtu} type veth peer name host0 address {mac} mtu {mtu} netns {namespace}\n\
             link set {cable} master {bridge} up\n"
        );
        let inside = format!(
            "link set lo up\naddr add {address}/{} dev host0\nlink set host0 up\n\
             route add default via {}\n",
            subnet::BITS,
            subnet.gateway()
        );
        self.tools.feed(Tool::Ip, ["-batch", "-"], &outside)?;
        self.tools
            .feed(Tool::Ip, ["-n", &namespace, "-batch", "-"], &inside)?;
        Ok(namespace)
    }

    fn unplug(&self, record: &Record) -> Result<(), NetworkError> {
        let mut commands = String::new();
        if let Some(address) = record.address {
            let cable = self.names.cable(address);
            if device_exists(&cable)? {
                commands += &format!("link del {cable}\n");
            }
        }
        let namespace = self.names.unit(&record.name);
        if Path::new(NAMESPACES).join(&namespace).exists() {
            commands += &format!("netns del {namespace}\n");
        }
        if !commands.is_empty() {
            self.tools.feed(Tool::Ip, ["-batch", "-"], &commands)?;
        }
        Ok(())
    }

    /// Returns the routes that are not the bridge's own.
    fn foreign(&self, mut routes: Vec<Route>) -> Vec<Route> {
        let bridge = self.names.bridge();
        routes.retain(|route| route.device != bridge);
        routes
    }
}

/// Repeats what looks before it changes anything, when a program fails.
///
/// A program of a killed process is killed with it, but what it asked of the
/// kernel last may still show, or vanish, after somebody has looked.
fn again<T>(work: impl Fn() -> Result<T, NetworkError>) -> Result<T, NetworkError> {
    for _ in 0..3 {
        match work() {
            Err(NetworkError::Tool(ToolError::Failed { .. })) => thread::sleep(AGAIN),
            other => return other,
        }
    }
    work()
}
