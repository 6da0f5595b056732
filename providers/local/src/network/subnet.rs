//! Addresses of machines: which network they are in, and who has which. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A network of IPv4: some address in it, and how many bits tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net {
    pub address: Ipv4Addr,
    pub bits: u32,
}

impl Net {
    /// Reads `10.0.0.0/8` or a lone address; `None` for anything else, such as `default`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, bits.parse().ok()?),
            None => (text, 32),
        };
        let address = address.parse().ok()?;
        (bits <= 32).then_some(Self { address, bits })
    }

    /// Returns whether some address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let bits = self.bits.min(other.bits);
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }
}

/// The network of machines: `a.b.0.0/16`, with the gateway at `a.b.0.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Subnet {
    prefix: [u8; 2],
}

/// How many bits tell one subnet from another.
pub(crate) const BITS: u32 = 16;
/// The number of the gateway in its subnet.
const GATEWAY: u16 = 1;
/// The number of the first machine.
pub(crate) const FIRST: u16 = 2;

impl Subnet {
    /// Returns the subnets that may be used, the preferred one first.
    ///
    /// The middle of 10.0.0.0/8, since both of its ends are popular.
    pub fn candidates() -> impl Iterator<Item = Self> {
        (231..=253).chain((64..231).rev()).map(|second| Self {
            prefix: [10, second],
        })
    }

    /// Returns the first candidate that overlaps none of these.
    pub fn choose(taken: &[Net]) -> Option<Self> {
        Self::candidates().find(|subnet| !taken.iter().any(|net| subnet.net().overlaps(*net)))
    }

    /// Returns the whole network.
    pub fn net(self) -> Net {
        Net {
            address: self.at(0),
            bits: BITS,
        }
    }

    /// Returns the address of this computer in it.
    pub fn gateway(self) -> Ipv4Addr {
        self.at(GATEWAY)
    }

    fn at(self, number: u16) -> Ipv4Addr {
        let [a, b] = self.prefix;
        let [c, d] = number.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// Hands out an address that nobody has, and the number to look from next time.
    ///
    /// Numbers go round, so that an address rests before it means another machine.
    pub fn allocate(self, next: u16, taken: &BTreeSet<Ipv4Addr>) -> Option<(Ipv4Addr, u16)> {
        // Some software mistakes .0 and .255 for a network's own, whatever its size.
        let usable = |number: &u16| *number >= FIRST && !matches!(number % 256, 0 | 255);
        (next..=u16::MAX)
            .chain(0..next)
            .filter(usable)
            .map(|number| (self.at(number), number.wrapping_add(1)))
            .find(|(address, _)| !taken.contains(address))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{BITS}", self.at(0))
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl TryFrom<String> for Subnet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Net::parse(&text) {
            Some(net) if net.bits == BITS => {
                let [a, b, _, _] = net.address.octets();
                Ok(Self { prefix: [a, b] })
            }
            Some(_) | None => Err(format!("`{text}` is not a network of {BITS} bits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Net {
        Net::parse(text).unwrap()
    }

    #[test]
    fn a_subnet_keeps_clear_of_routes() {
        let chosen = |taken: &[&str]| {
            let taken: Vec<Net> = taken.iter().map(|text| net(text)).collect();
            Subnet::choose(&taken).map(String::from)
        };
        assert_eq!(chosen(&[]).as_deref(), Some("10.231.0.0/16"));
        assert_eq!(
            chosen(&["192.0.2.0/24", "127.0.0.0/8"]).as_deref(),
            Some("10.231.0.0/16")
        );
        assert_eq!(chosen(&["10.231.7.4"]).as_deref(), Some("10.232.0.0/16"));
        assert_eq!(chosen(&["10.224.0.0/11"]).as_deref(), Some("10.223.0.0/16"));
        assert_eq!(chosen(&["10.0.0.0/8"]), None);
        assert_eq!(chosen(&["0.0.0.0/0"]), None);
        for text in ["default", "10.0.0.0/33", "::1", ""] {
            assert_eq!(Net::parse(text), None);
        }
    }

    #[test]
    fn addresses_go_round() {
        let subnet = Subnet::choose(&[]).unwrap();
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let mut taken = BTreeSet::new();
        let mut hand_out = |next| {
            let (address, next) = subnet.allocate(next, &taken).unwrap();
            taken.insert(address);
            (address, next)
        };
        assert_eq!(hand_out(FIRST), (ip("10.231.0.2"), 3));
        assert_eq!(hand_out(3), (ip("10.231.0.3"), 4));
        assert_eq!(hand_out(2), (ip("10.231.0.4"), 5));
        assert_eq!(hand_out(254), (ip("10.231.0.254"), 255));
        assert_eq!(hand_out(255), (ip("10.231.1.1"), 258));
        assert_eq!(hand_out(65534), (ip("10.231.255.254"), 65535));
        assert_eq!(hand_out(65535), (ip("10.231.0.5"), 6));
        assert_eq!(hand_out(0), (ip("10.231.0.6"), 7));
    }

    #[test]
    fn a_full_subnet_has_no_address() {
        let subnet = Subnet::choose(&[]).unwrap();
        let all: BTreeSet<_> = (0..=u16::MAX).map(|number| subnet.at(number)).collect();
        assert_eq!(subnet.allocate(FIRST, &all), None);
        let mut but_one = all;
        but_one.remove(&subnet.at(300));
        let last = subnet.allocate(FIRST, &but_one).unwrap();
        assert_eq!(last, (subnet.at(300), 301));
    }

    #[test]
    fn a_subnet_survives_its_file() {
        let subnet = Subnet::choose(&[]).unwrap();
        assert_eq!(Subnet::try_from(String::from(subnet)), Ok(subnet));
        assert!(Subnet::try_from("10.0.0.0/8".to_owned()).is_err());
    }
}
