//! Networks as texts, as files name them.

use std::net::IpAddr;

/// Returns whether a text is a network, an address with the length of its prefix.
pub fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse().is_ok_and(|length: u8| length <= most)
}
