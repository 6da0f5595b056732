//! The rules that lead connections through the proxy.
//!
//! Those of `tools/istio-iptables` in istio/istio, without its capture of DNS, its transparent
//! proxying (TPROXY) and IPv6. [`Rules`] is pure; [`apply`] and [`clean`] call `iptables`.
//!
//! Invariants: what the proxy itself sends is never captured, and cleaning leaves no rule and no
//! chain, whatever was there before.

use std::process::Command;

use thiserror::Error;

use crate::envoy::{INBOUND_PORT, OUTBOUND_PORT};
use crate::settings::Environment;

/// The chains, each after those that lead to it.
const CHAINS: [&str; 4] = [
    "ISTIO_INBOUND",
    "ISTIO_OUTPUT",
    "ISTIO_REDIRECT",
    "ISTIO_IN_REDIRECT",
];
/// The rules by which the kernel's own chains lead to ours.
const JUMPS: [[&str; 5]; 2] = [
    ["PREROUTING", "-p", "tcp", "-j", "ISTIO_INBOUND"],
    ["OUTPUT", "-p", "tcp", "-j", "ISTIO_OUTPUT"],
];

/// Why the rules cannot be changed.
#[derive(Debug, Error)]
pub enum IptablesError {
    /// There is no program.
    #[error("cannot run iptables; the package `iptables` has it")]
    Run(#[source] std::io::Error),
    /// It refuses.
    #[error("iptables {arguments}: {said}")]
    Refused {
        /// What it was asked for.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// It is a mode that the double does not have.
    #[error("ISTIO_INBOUND_INTERCEPTION_MODE={0} is not known to the double")]
    Mode(String),
}

/// What is captured and what not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The user and the group of the proxy, by number.
    pub owner: (u32, u32),
    /// Ports that are captured when something comes in; `*` for all.
    pub inbound: Vec<String>,
    /// Ports that are not, when all are.
    pub inbound_excluded: Vec<String>,
    /// Networks that are captured when something goes out; `*` for all.
    pub outbound: Vec<String>,
    /// Networks that are not.
    pub outbound_excluded: Vec<String>,
    /// Ports that are captured when something goes out, whatever the network.
    pub outbound_ports: Vec<String>,
    /// Ports that are not.
    pub outbound_ports_excluded: Vec<String>,
}

impl Rules {
    /// Takes them from the environment.
    ///
    /// # Errors
    ///
    /// When the environment asks for a mode that the double does not have.
    pub fn read(environment: &Environment, owner: (u32, u32)) -> Result<Self, IptablesError> {
        let list = |name: &str| -> Vec<String> {
            let value = environment.get(name).map_or("", String::as_str);
            let items = value.split(',').map(str::trim);
            items
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()
        };
        if let Some(mode) = environment.get("ISTIO_INBOUND_INTERCEPTION_MODE")
            && !matches!(mode.as_str(), "" | "REDIRECT")
        {
            return Err(IptablesError::Mode(mode.clone()));
        }
        let mut outbound_ports_excluded = list("ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE");
        outbound_ports_excluded.dedup();
        Ok(Self {
            owner,
            inbound: list("ISTIO_INBOUND_PORTS"),
            inbound_excluded: list("ISTIO_LOCAL_EXCLUDE_PORTS"),
            outbound: list("ISTIO_SERVICE_CIDR"),
            outbound_excluded: list("ISTIO_SERVICE_EXCLUDE_CIDR"),
            outbound_ports: list("ISTIO_OUTBOUND_PORTS"),
            outbound_ports_excluded,
        })
    }

    /// Returns the arguments of each call of `iptables -t nat`, in order.
    pub fn calls(&self) -> Vec<Vec<String>> {
        let mut calls = Calls::default();
        for chain in CHAINS {
            calls.add(&["-N", chain]);
        }
        let outbound_port = OUTBOUND_PORT.to_string();
        let inbound_port = INBOUND_PORT.to_string();
        let redirect = |chain, port| {
            [
                "-A",
                chain,
                "-p",
                "tcp",
                "-j",
                "REDIRECT",
                "--to-ports",
                port,
            ]
        };
        calls.add(&redirect("ISTIO_REDIRECT", outbound_port.as_str()));
        calls.add(&redirect("ISTIO_IN_REDIRECT", inbound_port.as_str()));
        self.inbound_calls(&mut calls);
        self.outbound_calls(&mut calls);
        for jump in JUMPS {
            let is_needed = jump[0] == "OUTPUT" || !self.inbound.is_empty();
            if is_needed {
                calls.add(&[&["-A"], jump.as_slice()].concat());
            }
        }
        calls.0
    }

    fn inbound_calls(&self, calls: &mut Calls) {
        let port = |port, target| {
            [
                "-A",
                "ISTIO_INBOUND",
                "-p",
                "tcp",
                "--dport",
                port,
                "-j",
                target,
            ]
        };
        calls.add(&port("15008", "RETURN"));
        if self.inbound.iter().any(|port| port == "*") {
            for excluded in &self.inbound_excluded {
                calls.add(&port(excluded, "RETURN"));
            }
            calls.add(&[
                "-A",
                "ISTIO_INBOUND",
                "-p",
                "tcp",
                "-j",
                "ISTIO_IN_REDIRECT",
            ]);
        } else {
            for included in &self.inbound {
                calls.add(&port(included, "ISTIO_IN_REDIRECT"));
            }
        }
    }

    fn outbound_calls(&self, calls: &mut Calls) {
        let mut output = |rule: &[&str]| calls.add(&[&["-A", "ISTIO_OUTPUT"], rule].concat());
        // From this address the proxy and the probes speak to the application itself.
        output(&["-o", "lo", "-s", "127.0.0.6/32", "-j", "RETURN"]);
        for port in &self.outbound_ports_excluded {
            output(&["-p", "tcp", "--dport", port, "-j", "RETURN"]);
        }
        let owners = [("--uid-owner", self.owner.0), ("--gid-owner", self.owner.1)];
        for (flag, owner) in owners {
            let owner = owner.to_string();
            let is_owner = ["-m", "owner", flag, owner.as_str()];
            let is_other = ["-m", "owner", "!", flag, owner.as_str()];
            // A call to oneself by way of the mesh comes in like any other.
            let by_mesh = ["-o", "lo", "!", "-d", "127.0.0.1/32"];
            let reentered = ["-p", "tcp", "!", "--dport", "15008"];
            let inbound = ["-j", "ISTIO_IN_REDIRECT"];
            output(&[by_mesh.as_slice(), &reentered, &is_owner, &inbound].concat());
            output(&[["-o", "lo"].as_slice(), &is_other, &["-j", "RETURN"]].concat());
            output(&[is_owner.as_slice(), &["-j", "RETURN"]].concat());
        }
        output(&["-d", "127.0.0.1/32", "-j", "RETURN"]);
        for network in &self.outbound_excluded {
            output(&["-d", network, "-j", "RETURN"]);
        }
        for port in &self.outbound_ports {
            output(&["-p", "tcp", "--dport", port, "-j", "ISTIO_REDIRECT"]);
        }
        if self.outbound.iter().any(|network| network == "*") {
            output(&["-j", "ISTIO_REDIRECT"]);
        } else {
            for network in &self.outbound {
                output(&["-d", network, "-j", "ISTIO_REDIRECT"]);
            }
        }
    }
}

#[derive(Default)]
struct Calls(Vec<Vec<String>>);

impl Calls {
    fn add(&mut self, arguments: &[&str]) {
        self.0
            .push(arguments.iter().map(|&text| text.to_owned()).collect());
    }
}

/// Puts the rules in place. What was there of them before is removed first.
///
/// # Errors
///
/// When a rule is refused; then none is left.
pub fn apply(rules: &Rules) -> Result<(), IptablesError> {
    clean()?;
    for call in rules.calls() {
        if let Err(error) = insist(&call) {
            clean()?;
            return Err(error);
        }
    }
    Ok(())
}

/// Removes every rule and chain.
///
/// # Errors
///
/// When `iptables` cannot be run.
pub fn clean() -> Result<(), IptablesError> {
    for jump in JUMPS {
        let delete: Vec<String> = ["-D"]
            .iter()
            .chain(&jump)
            .map(|&text| text.to_owned())
            .collect();
        // As often as it is there.
        while run(&delete)?.is_ok() {}
    }
    for verb in ["-F", "-X"] {
        for chain in CHAINS {
            // A chain that is not there needs nothing.
            let _ = run(&[verb.to_owned(), chain.to_owned()])?;
        }
    }
    Ok(())
}

fn insist(arguments: &[String]) -> Result<(), IptablesError> {
    run(arguments)?.map_err(|said| IptablesError::Refused {
        arguments: arguments.join(" "),
        said,
    })
}

/// Calls `iptables`; inside is what it said when it refused.
fn run(arguments: &[String]) -> Result<Result<(), String>, IptablesError> {
    let output = Command::new("iptables")
        .args(["-w", "-t", "nat"])
        .args(arguments)
        .output()
        .map_err(IptablesError::Run)?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Err(said.trim().to_owned()))
}

#[cfg(test)]
mod tests;
