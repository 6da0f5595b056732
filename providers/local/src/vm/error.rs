//! What can go wrong with virtual machines, and what to do about it.

use std::io;

use meshvm_provider_api::ErrorClass;

use crate::container::ImageError;
use crate::error::{file_hint, image_class, tool_hint};
use crate::files::FileError;
use crate::size::Size;
use crate::tools::{Tool, ToolError};

/// A virtual machine could not be made or run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VmError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The image failed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Images are made for one kind of processor only.
    #[error("virtual machines need an x86-64 computer, and this one is {arch}")]
    Architecture {
        /// What this computer is.
        arch: &'static str,
    },
    /// Programs are missing.
    #[error("virtual machines need {}, which {} not installed", names(tools), if tools.len() == 1 { "is" } else { "are" })]
    Lacks {
        /// The programs.
        tools: Vec<Tool>,
    },
    /// Without root, building an image takes a range of user ids.
    #[error("user {user} has no range of subordinate {what} in {file}")]
    NoIds {
        /// The user.
        user: String,
        /// User or group ids.
        what: &'static str,
        /// Where it would be.
        file: &'static str,
    },
    /// The base image of a machine is gone.
    #[error("the base image {image} of machine {name} is gone")]
    NoBase {
        /// The machine.
        name: String,
        /// The image.
        image: String,
    },
    /// The disk cannot hold the image.
    #[error("a disk of {disk} is too small for the image, which has {image}")]
    SmallDisk {
        /// What was asked for.
        disk: Size,
        /// What it takes.
        image: Size,
    },
    /// The machine would not boot.
    #[error("{memory} of memory is too little for a virtual machine, it must be at least {least}")]
    SmallMemory {
        /// What was asked for.
        memory: Size,
        /// What it takes.
        least: Size,
    },
    /// Another machine publishes the port.
    #[error("port {port}/{protocol} of 127.0.0.1 is published by machine {other} already")]
    PortPublished {
        /// The port of this computer.
        port: u16,
        /// Its protocol.
        protocol: &'static str,
        /// The machine.
        other: String,
    },
    /// The port cannot be had.
    #[error("port {port}/{protocol} of 127.0.0.1 cannot be published")]
    Port {
        /// The port of this computer.
        port: u16,
        /// Its protocol.
        protocol: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// QEMU did not start.
    #[error("machine {name} did not start: {said}")]
    Start {
        /// The machine.
        name: String,
        /// The last that QEMU said.
        said: String,
    },
    /// A process that was launched before does not get ready.
    #[error("an earlier launch of machine {name} does not come to an end")]
    Launching {
        /// The machine.
        name: String,
    },
    /// A killed process does not go away.
    #[error("process {pid} of machine {name} is still there after it was killed")]
    Stuck {
        /// The machine.
        name: String,
        /// The process.
        pid: i32,
    },
}

fn names(tools: &[Tool]) -> String {
    let names: Vec<_> = tools
        .iter()
        .map(|tool| format!("`{}`", tool.program()))
        .collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        Some(_) | None => names.concat(),
    }
}

impl VmError {
    /// Returns what the engine can do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::File(_)
            | Self::Tool(_)
            | Self::Architecture { .. }
            | Self::Lacks { .. }
            | Self::NoIds { .. }
            | Self::NoBase { .. }
            | Self::PortPublished { .. }
            | Self::Port { .. }
            | Self::Start { .. } => ErrorClass::Environment,
            Self::SmallDisk { .. } | Self::SmallMemory { .. } => ErrorClass::Invalid,
            Self::Launching { .. } | Self::Stuck { .. } => ErrorClass::Unavailable,
            Self::Image(error) => image_class(error),
        }
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lacks { tools } => Some(install(tools)),
            Self::NoIds { user, .. } => Some(format!(
                "run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
            )),
            Self::NoBase { .. } => Some("replace the machine".to_owned()),
            Self::SmallDisk { image, .. } => Some(format!("write `disk: {image}` or more")),
            Self::SmallMemory { least, .. } => Some(format!("write `memory: {least}` or more")),
            Self::PortPublished { .. } => Some(
                "a port leads into one machine: publish another, or run one machine of this fleet"
                    .to_owned(),
            ),
            Self::Port { port, source, .. } => Some(match source.kind() {
                io::ErrorKind::PermissionDenied => {
                    "publish a port from 1024 on, or run it as root".to_owned()
                }
                _ => format!("publish another port, or see who has it: ss -lnp 'sport = :{port}'"),
            }),
            Self::File(error) | Self::Image(ImageError::File(error)) => file_hint(error),
            Self::Tool(error) | Self::Image(ImageError::Tool(error)) => tool_hint(error),
            Self::Image(
                ImageError::Recipe { .. }
                | ImageError::Differs { .. }
                | ImageError::Missing { .. }
                | ImageError::Unfit { .. },
            )
            | Self::Architecture { .. }
            | Self::Start { .. }
            | Self::Launching { .. }
            | Self::Stuck { .. } => None,
        }
    }
}

/// Returns the command that installs programs, all at once.
pub(super) fn install(tools: &[Tool]) -> String {
    let mut packages: Vec<_> = tools.iter().map(|tool| tool.package()).collect();
    packages.sort_unstable();
    packages.dedup();
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_installed_by_one_command() {
        let lacks = |tools: &[Tool]| VmError::Lacks {
            tools: tools.to_vec(),
        };
        let one = lacks(&[Tool::QemuImg]);
        let text = "virtual machines need `qemu-img`, which is not installed";
        assert_eq!(one.to_string(), text);
        let more = lacks(&[Tool::QemuSystem, Tool::QemuImg, Tool::Genisoimage]);
        let text = "virtual machines need `qemu-system-x86_64`, `qemu-img` and `genisoimage`, which are not installed";
        assert_eq!(more.to_string(), text);
        let command =
            "apt-get install --no-install-recommends genisoimage qemu-system-x86 qemu-utils";
        assert_eq!(more.hint().as_deref(), Some(command));
    }
}
