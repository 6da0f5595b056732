//! The `local` block of a fleet file.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use meshvm_provider_api::{Attributes, Finding, Scope, Template};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::image::Image;
use crate::size::Size;

/// The provider's name, and the key of its block.
pub(crate) const NAME: &str = "local";

/// The least memory that a machine boots with.
const LEAST_MEMORY: Size = Size::mib(64);

/// Real machines on this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LocalSettings {
    /// What the machines are.
    pub backend: BackendChoice,
    /// What their disks begin as.
    pub image: Image,
    /// The most memory that a machine may use; containers feel it through their cgroup.
    pub memory: Size,
    /// How many CPUs a machine may keep busy; a container still sees all of this computer's.
    #[schemars(range(min = 1))]
    pub cpus: u32,
    /// The size of the disk; containers have no disk of their own, and refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Size>,
    /// Ports of this computer's 127.0.0.1 that lead into the machine; containers have addresses instead, and refuse it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<Publish>,
    /// What runs the code of virtual machines; containers refuse all but `auto`.
    pub accel: AcceleratorChoice,
    /// Names of zones to spread over; on one computer they are names and no more.
    #[schemars(length(min = 1), inner(length(min = 1)), extend("uniqueItems" = true))]
    pub zones: Vec<String>,
}

/// What a machine may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum BackendChoice {
    /// A container where that is possible and nothing is asked for that it lacks, else a virtual machine.
    Auto,
    /// A systemd container over an overlay: it shares this computer's kernel, and needs root.
    Container,
    /// A virtual machine of QEMU: a kernel of its own, without root.
    Vm,
}

/// What runs the code of virtual machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AcceleratorChoice {
    /// This computer's processor where a timed probe says that it can, else an emulated one.
    #[default]
    Auto,
    /// This computer's processor.
    Kvm,
    /// An emulated processor, ten times slower or more.
    Tcg,
}

/// What a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BackendKind {
    /// A systemd container.
    Container,
    /// A virtual machine.
    Vm,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Vm => "vm",
        })
    }
}

/// A port of this computer that leads into a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publish {
    /// The port of 127.0.0.1.
    #[schemars(range(min = 1))]
    pub host: u16,
    /// The port of the machine.
    #[schemars(range(min = 1))]
    pub guest: u16,
    /// The protocol.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A protocol with ports.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Default for LocalSettings {
    fn default() -> Self {
        Self {
            backend: BackendChoice::Auto,
            image: Image::Debian12,
            memory: Size::mib(512),
            cpus: 1,
            disk: None,
            publish: Vec::new(),
            accel: AcceleratorChoice::Auto,
            zones: vec![NAME.to_owned()],
        }
    }
}

impl LocalSettings {
    /// Reads a block; paths in it are relative to `base`.
    ///
    /// # Errors
    /// Returns every problem; one that the schema would have refused comes alone.
    pub fn read(settings: &Value, base: &Path) -> Result<Self, Vec<Finding>> {
        let mut read = Self::deserialize(settings)
            .map_err(|error| vec![Finding::at("", error.to_string())])?;
        let findings = read.findings();
        if findings.is_empty() {
            read.image.anchor(base);
            Ok(read)
        } else {
            Err(findings)
        }
    }

    /// Returns what machines are made from.
    ///
    /// # Errors
    /// A finding when the block cannot be written as JSON.
    pub fn template(&self) -> Result<Template, Vec<Finding>> {
        let settings =
            serde_json::to_value(self).map_err(|error| vec![Finding::at("", error.to_string())])?;
        Ok(Template {
            scope: scope(),
            zones: self.zones.clone(),
            attributes: self.attributes(),
            settings,
        })
    }

    /// Returns what machines are compared by: neither where they stand, nor what is left to `auto`.
    pub(crate) fn attributes(&self) -> Attributes {
        let Self {
            backend,
            image,
            memory,
            cpus,
            disk,
            publish,
            accel,
            zones: _,
        } = self;
        let mut attributes = Attributes::from([
            ("image".to_owned(), json!(image.attribute())),
            ("memory".to_owned(), json!(memory)),
            ("cpus".to_owned(), json!(cpus)),
            ("publish".to_owned(), json!(publish)),
        ]);
        if let Some(disk) = disk {
            attributes.insert("disk".to_owned(), json!(disk));
        }
        match accel {
            AcceleratorChoice::Auto => {}
            AcceleratorChoice::Kvm | AcceleratorChoice::Tcg => {
                attributes.insert("accel".to_owned(), json!(accel));
            }
        }
        match backend {
            BackendChoice::Auto => {}
            BackendChoice::Container | BackendChoice::Vm => {
                attributes.insert("backend".to_owned(), json!(backend));
            }
        }
        attributes
    }

    /// Returns the first thing asked for that only a virtual machine has.
    pub(crate) fn needs_vm(&self) -> Option<&'static str> {
        if self.disk.is_some() {
            Some("disk")
        } else if !self.publish.is_empty() {
            Some("publish")
        } else if self.accel != AcceleratorChoice::Auto {
            Some("accel")
        } else {
            None
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let Self {
            backend,
            image,
            memory,
            cpus,
            disk,
            publish,
            accel,
            zones,
        } = self;
        let mut findings = image.findings();
        if *memory < LEAST_MEMORY {
            let message = format!("{memory} is too little, it must be at least {LEAST_MEMORY}");
            findings.push(Finding::at("memory", message));
        }
        if *cpus == 0 {
            findings.push(Finding::at("cpus", "must be at least 1"));
        }
        match backend {
            BackendChoice::Container => {
                if disk.is_some() {
                    let finding = Finding::at("disk", "a container has no disk of its own");
                    findings.push(finding.with_hint("leave `disk` out, or use `backend: vm`"));
                }
                if !publish.is_empty() {
                    let finding = Finding::at("publish", "ports of containers are not published");
                    findings.push(
                        finding.with_hint(
                            "reach the container at its own address, or use `backend: vm`",
                        ),
                    );
                }
                if *accel != AcceleratorChoice::Auto {
                    let finding = Finding::at("accel", "a container runs on the processor itself");
                    findings.push(finding.with_hint("leave `accel` out, or use `backend: vm`"));
                }
            }
            BackendChoice::Auto | BackendChoice::Vm => {}
        }
        let mut ports = BTreeSet::new();
        for (index, port) in publish.iter().enumerate() {
            let Publish {
                host,
                guest,
                protocol,
            } = port;
            for (field, port) in [("host", host), ("guest", guest)] {
                if *port == 0 {
                    let path = format!("publish.{index}.{field}");
                    findings.push(Finding::at(&path, "must be a port from 1 to 65535"));
                }
            }
            if !ports.insert((protocol, host)) {
                let message = format!("port {host} is published twice");
                findings.push(Finding::at(&format!("publish.{index}.host"), message));
            }
        }
        if zones.is_empty() {
            findings.push(Finding::at("zones", "needs at least one zone"));
        }
        let mut seen = BTreeSet::new();
        for (index, zone) in zones.iter().enumerate() {
            let path = format!("zones.{index}");
            if zone.is_empty() {
                findings.push(Finding::at(&path, "must not be empty"));
            } else if !seen.insert(zone) {
                let message = format!("zone `{zone}` is listed twice");
                findings.push(Finding::at(&path, message));
            }
        }
        findings
    }
}

/// Returns the one scope there is: this computer, whichever it is.
pub(crate) fn scope() -> Scope {
    Scope::new(NAME, [], [])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &Value) -> Result<LocalSettings, Vec<Finding>> {
        LocalSettings::read(block, Path::new("/fleet"))
    }

    #[test]
    fn an_empty_block_has_all_defaults() {
        let template = read(&json!({})).unwrap().template().unwrap();
        assert_eq!(template.zones, ["local"]);
        assert_eq!(template.scope.to_string(), "local");
        let attributes = serde_json::to_value(&template.attributes).unwrap();
        let expected = json!({"cpus": 1, "image": "debian-12", "memory": "512MiB", "publish": []});
        assert_eq!(attributes, expected);
        assert_eq!(read(&template.settings).unwrap(), LocalSettings::default());
    }

    #[test]
    fn every_problem_is_found_at_its_place() {
        let block = json!({
            "backend": "container", "memory": "1MiB", "cpus": 0, "disk": "1GiB",
            "publish": [{"host": 80, "guest": 0}, {"host": 80, "guest": 1, "protocol": "tcp"}],
            "zones": ["a", "a", ""],
        });
        let places: Vec<String> = read(&block)
            .unwrap_err()
            .iter()
            .map(|finding| finding.path.join("."))
            .collect();
        assert_eq!(
            places,
            [
                "memory",
                "cpus",
                "disk",
                "publish",
                "publish.0.guest",
                "publish.1.host",
                "zones.1",
                "zones.2"
            ]
        );
        for block in [
            json!({"memry": "1GiB"}),
            json!({"zones": []}),
            json!({"cpus": -1}),
            json!({"memory": 512}),
        ] {
            assert_eq!(read(&block).unwrap_err().len(), 1, "{block}");
        }
    }

    #[test]
    fn the_schema_says_what_is_checked() {
        let schema = serde_json::to_value(schemars::schema_for!(LocalSettings)).unwrap();
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(schema["properties"]["cpus"]["minimum"], json!(1));
        assert_eq!(schema["properties"]["zones"]["uniqueItems"], json!(true));
        assert_eq!(schema["properties"]["image"]["default"], json!("debian-12"));
        assert_eq!(schema["$defs"]["ImageFile"]["required"], json!(["sha256"]));
    }
}
