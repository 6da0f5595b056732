//! The segment that the virtual machines of a data folder share, and their addresses on it. Pure.
//!
//! The segment is multicast on this computer's loopback: it takes no root, and
//! no device of this computer is on it, so no route leads to it. Any user of
//! this computer can listen to it and talk on it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;

use meshvm_provider_api::Hash;

use crate::network::{Net, Subnet};
use crate::settings::BackendKind;
use crate::store::Entry;

/// Where containers have their networks: virtual machines reach them only if theirs is another.
const CONTAINERS: Net = Net {
    address: Ipv4Addr::new(10, 224, 0, 0),
    bits: 11,
};
/// QEMU's user network, which leads out of every machine.
const USER_NETWORK: Net = Net {
    address: Ipv4Addr::new(10, 0, 2, 0),
    bits: 24,
};

/// Where frames of the segment go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub group: Ipv4Addr,
    pub port: u16,
}

impl Segment {
    /// Returns the segment of a data folder, whose path has no links in it.
    pub fn new(data_dir: &Path) -> Self {
        // Below the ports that the kernel hands out by itself.
        const PORTS: std::ops::Range<u16> = 20_000..32_000;
        let hash = Hash::of(data_dir.as_os_str().as_encoded_bytes());
        let number = u64::from_str_radix(hash.as_str(), 16).unwrap_or_default();
        let [a, b, c, d, ..] = number.to_be_bytes();
        let offset = u16::from_be_bytes([c, d]) % (PORTS.end - PORTS.start);
        Self {
            // The part of 239.0.0.0/8 that is an organisation's own.
            group: Ipv4Addr::new(239, 193, a, b),
            port: PORTS.start + offset,
        }
    }
}

/// Returns the address for a new machine; `None` when none is left.
///
/// `others` are all machines of the data folder, `routes` what
/// `/proc/net/route` tells. All virtual machines are in one subnet, which the
/// first of them chose clear of this computer's routes, since a machine cannot
/// reach what it takes to be on its own segment.
pub(super) fn next(others: &[Entry], routes: &str) -> Option<Ipv4Addr> {
    let newest = others
        .iter()
        .filter(|other| other.record.backend == BackendKind::Vm)
        .filter_map(|other| Some((&other.record.created, other.record.address?)))
        .max();
    let taken: BTreeSet<Ipv4Addr> = others
        .iter()
        .filter_map(|other| other.record.address)
        .collect();
    let (subnet, from) = match newest {
        // Onward from the newest, so that an address rests before it means another machine.
        Some((_, address)) => {
            let [a, b, c, d] = address.octets();
            let subnet = Subnet::try_from(format!("{a}.{b}.0.0/16")).ok()?;
            (subnet, u16::from_be_bytes([c, d]).wrapping_add(1))
        }
        None => {
            let mut nets = read_routes(routes);
            nets.extend([CONTAINERS, USER_NETWORK]);
            (Subnet::choose(&nets)?, 0)
        }
    };
    subnet.allocate(from, &taken).map(|(address, _)| address)
}

/// Reads `/proc/net/route`; the default route is left out, since it leads everywhere.
fn read_routes(text: &str) -> Vec<Net> {
    let address = |text: &str| {
        let number = u32::from_str_radix(text, 16).ok()?;
        Some(Ipv4Addr::from(number.to_le_bytes()))
    };
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let mask = address(fields.get(7)?)?;
            Some(Net {
                address: address(fields.get(1)?)?,
                bits: mask.to_bits().leading_ones(),
            })
        })
        .filter(|net| net.bits > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::samples::record;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        tun0\t0000DF0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

    fn machine(backend: BackendKind, created: &str, address: &str) -> Entry {
        let mut record = record();
        record.backend = backend;
        record.created = created.to_owned();
        record.address = address.parse().ok();
        Entry {
            folder: "/nowhere".into(),
            record,
        }
    }

    #[test]
    fn the_first_machine_keeps_clear_of_routes_and_containers() {
        let address = |routes| next(&[], routes).unwrap().to_string();
        assert_eq!(address(""), "10.223.0.2");
        assert_eq!(address(ROUTES), "10.222.0.2");
        let container = machine(BackendKind::Container, "9", "10.231.0.9");
        assert_eq!(next(&[container], "").unwrap().to_string(), "10.223.0.2");
        assert_eq!(read_routes(ROUTES).len(), 2);
    }

    #[test]
    fn the_others_follow_it() {
        let vm = |created, address| machine(BackendKind::Vm, created, address);
        let next = |others: &[Entry]| next(others, ROUTES).unwrap().to_string();
        let old = vm("2020", "10.223.0.7");
        // A route that came later changes nothing for machines that talk already.
        assert_eq!(next(std::slice::from_ref(&old)), "10.223.0.8");
        let newest = vm("2021", "10.223.0.3");
        let between = vm("2019", "10.223.0.4");
        assert_eq!(next(&[old, newest, between]), "10.223.0.5");
    }

    #[test]
    fn folders_have_segments_of_their_own() {
        let one = Segment::new(Path::new("/var/lib/meshvm"));
        assert_eq!(one, Segment::new(Path::new("/var/lib/meshvm")));
        assert_ne!(one, Segment::new(Path::new("/var/lib/other")));
        assert!(one.group.is_multicast() && (20_000..32_000).contains(&one.port));
    }
}
