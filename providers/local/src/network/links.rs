//! What this computer's network is like: its devices and its routes.
//!
//! Asked of this process's own network namespace: `/sys` may be mounted from another.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Net, NetworkError};
use crate::files::doing;
use crate::tools::{Tool, Tools};

/// Lists devices.
const DEVICES: &str = "/proc/net/dev";

/// The most bytes in a packet where no default route says.
const MTU: u32 = 1500;

/// Where this computer routes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// What is routed; `None` for everything that no other route names.
    pub net: Option<Net>,
    /// The device that it leaves by; empty when it is thrown away.
    pub device: String,
}

/// Returns whether there is such a device.
pub(super) fn device_exists(name: &str) -> Result<bool, NetworkError> {
    let path = Path::new(DEVICES);
    let text = fs::read_to_string(path).map_err(doing("read", path))?;
    Ok(devices(&text).any(|device| device == name))
}

fn devices(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(device, _)| device.trim())
}

/// Returns the routes of all tables.
pub(super) fn routes(tools: &Tools) -> Result<Vec<Route>, NetworkError> {
    let args = ["-json", "-4", "route", "show", "table", "all"];
    let told = list(&tools.run(Tool::Ip, args)?)?;
    Ok(told.iter().filter_map(route).collect())
}

fn route(told: &Value) -> Option<Route> {
    let destination = told.get("dst").and_then(Value::as_str)?;
    let net = match destination {
        "default" => None,
        other => Some(Net::parse(other)?),
    };
    let device = told.get("dev").and_then(Value::as_str).unwrap_or_default();
    Some(Route {
        net,
        device: device.to_owned(),
    })
}

/// Returns the most bytes in a packet of a device.
pub(super) fn mtu(tools: &Tools, device: &str) -> Result<u32, NetworkError> {
    let told = list(&tools.run(Tool::Ip, ["-json", "link", "show", "dev", device])?)?;
    Ok(told
        .first()
        .and_then(|link| link.get("mtu")?.as_u64())
        .and_then(|mtu| u32::try_from(mtu).ok())
        .unwrap_or(MTU))
}

/// Returns the most bytes in a packet that leaves this computer.
pub(super) fn default_mtu(tools: &Tools, routes: &[Route]) -> Result<u32, NetworkError> {
    let default = routes.iter().find(|route| route.net.is_none());
    match default {
        Some(route) if !route.device.is_empty() => mtu(tools, &route.device),
        Some(_) | None => Ok(MTU),
    }
}

/// Reads a list as `ip -json` tells it; where there is nothing to tell, it says nothing at all.
fn list(told: &str) -> Result<Vec<Value>, NetworkError> {
    if told.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(told).map_err(|source| NetworkError::Ip { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read() {
        let told = r#"[{"dst":"default","gateway":"192.0.2.1","dev":"eth0","flags":[]},
            {"dst":"10.231.0.0/16","dev":"br0","protocol":"kernel"},
            {"type":"unreachable","dst":"10.9.0.0/16","flags":[]},
            {"type":"local","dst":"127.0.0.1","dev":"lo","table":"local"},
            {"dst":"fe80::/64","dev":"eth0"}]"#;
        let told = list(told).unwrap();
        let routes: Vec<Route> = told.iter().filter_map(route).collect();
        let devices: Vec<_> = routes.iter().map(|route| route.device.as_str()).collect();
        assert_eq!(devices, ["eth0", "br0", "", "lo"]);
        assert_eq!(routes[0].net, None);
        assert_eq!(routes[2].net, Net::parse("10.9.0.0/16"));
        assert!(list("").unwrap().is_empty());
        assert!(list("Error").is_err());
    }

    #[test]
    fn devices_are_found() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes  |bytes\n\
                    \x20   lo:     0       0\nmeshvm-aabbcc: 1 2\n";
        let found: Vec<_> = devices(text).collect();
        assert_eq!(found, ["lo", "meshvm-aabbcc"]);
        assert!(device_exists("lo").unwrap());
        assert!(!device_exists("lo2").unwrap());
    }
}
