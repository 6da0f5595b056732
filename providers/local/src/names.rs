//! Names that machines have outside of their folder: devices, cgroups, namespaces.
//!
//! Each carries a hash of the data folder, so that two of them in use at once
//! on one computer never mean each other's.

use std::net::Ipv4Addr;
use std::path::Path;

use meshvm_provider_api::Hash;

/// What every name on this computer begins with.
pub(crate) const PREFIX: &str = "meshvm-";

/// Makes the names of one data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    hash: String,
}

/// Devices have names of at most 15 characters.
const HASH: usize = 6;

impl Names {
    /// Makes the names of a data folder, whose path has no links in it.
    pub fn new(data_dir: &Path) -> Self {
        let mut hash = Hash::of(data_dir.as_os_str().as_encoded_bytes()).to_string();
        hash.truncate(HASH);
        Self { hash }
    }

    /// Returns the name of the bridge, and of the network's file below `/run`.
    pub fn bridge(&self) -> String {
        format!("{PREFIX}{}", self.hash)
    }

    /// Returns the hardware address of the bridge.
    ///
    /// Without one of its own a bridge takes over a port's, which changes under its neighbours.
    pub fn bridge_mac(&self) -> String {
        self.mac_ending([0, 1])
    }

    /// Returns the name of the table of nftables.
    pub fn table(&self) -> String {
        format!("meshvm_{}", self.hash)
    }

    /// Returns the name of a machine's cgroups, network namespace and unit.
    pub fn unit(&self, machine: &str) -> String {
        format!("{PREFIX}{}-{machine}", self.hash)
    }

    /// Returns the name of this computer's end of a machine's cable.
    pub fn cable(&self, address: Ipv4Addr) -> String {
        let [_, _, c, d] = address.octets();
        format!("mv{}-{c:02x}{d:02x}", self.hash)
    }

    /// Returns a machine's hardware address: the same as long as it has its address, so that
    /// neighbours find it again after it was restarted.
    pub fn mac(&self, address: Ipv4Addr) -> String {
        let [_, _, c, d] = address.octets();
        self.mac_ending([c, d])
    }

    fn mac_ending(&self, [c, d]: [u8; 2]) -> String {
        // 02 says that the address is made up here.
        let mut text = "02".to_owned();
        for (index, digit) in self.hash.chars().enumerate() {
            if index % 2 == 0 {
                text.push(':');
            }
            text.push(digit);
        }
        text.push_str(&format!(":{c:02x}:{d:02x}"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let one = Names::new(Path::new("/var/lib/meshvm"));
        let two = Names::new(Path::new("/var/lib/meshvm2"));
        let address = Ipv4Addr::new(10, 231, 1, 254);
        assert_eq!(one, Names::new(Path::new("/var/lib/meshvm")));
        for (one, two) in [
            (one.bridge(), two.bridge()),
            (one.table(), two.table()),
            (one.unit("a"), two.unit("a")),
            (one.cable(address), two.cable(address)),
            (one.mac(address), two.mac(address)),
        ] {
            assert_ne!(one, two);
        }
        assert!(one.bridge().len() <= 15 && one.cable(address).len() <= 15);
        assert!(one.cable(address).ends_with("-01fe"));
        assert_eq!(one.mac(address).len(), "02:00:00:00:00:00".len());
        assert!(one.mac(address).ends_with(":01:fe"));
        assert_ne!(one.mac(address), one.bridge_mac());
    }
}
