//! Errors of the provider, and the one place that says what the engine can do about each.

use std::error::Error;

use meshvm_provider_api::{BatchKey, ErrorClass, MachineId, ProviderError};

use crate::container::{CgroupError, ContainerError, ImageError};
use crate::files::FileError;
use crate::media::MediaError;
use crate::network::NetworkError;
use crate::store::StoreError;
use crate::tools::ToolError;
use crate::vm::VmError;

/// An operation of the provider failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Records could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Media could not be handed over.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The network failed.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A container failed.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// A virtual machine failed.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// Neither kind of machine can be made here.
    #[error("no backend can be used: {reason}")]
    NoBackend {
        /// Why not.
        reason: String,
    },
    /// The data folder has a path that mounts cannot name.
    #[error("the data folder {path:?} has a character that mounts cannot take")]
    DataDir {
        /// The path.
        path: String,
    },
    /// The settings of a template are not this version's.
    #[error("the settings of the template cannot be read")]
    Settings {
        /// What is wrong with them.
        source: serde_json::Error,
    },
    /// A batch cannot be written as JSON.
    #[error("the request cannot be written")]
    Request {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// User-data is longer than a machine takes.
    #[error("user-data has {bytes} bytes, and {limit} are the most")]
    UserData {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A name does not fit a DNS label.
    #[error("`{name}` cannot be the name of a machine")]
    Name {
        /// The name.
        name: String,
    },
    /// A key was used for another request.
    #[error("batch {key} was created from another request")]
    KeyUsed {
        /// The key.
        key: BatchKey,
    },
    /// A machine of another batch has the name.
    #[error("machine {name} belongs to another batch")]
    NameUsed {
        /// The name.
        name: String,
    },
    /// A machine is not the stack's.
    #[error("machine {id} does not belong to stack {stack}")]
    NotOwned {
        /// The machine.
        id: MachineId,
        /// The stack.
        stack: String,
    },
    /// A machine does not exist.
    #[error("machine {id} does not exist")]
    Gone {
        /// The machine.
        id: MachineId,
    },
    /// A machine is being deleted by another process.
    #[error("machine {name} is being deleted")]
    Busy {
        /// The machine.
        name: String,
    },
    /// A machine went while its private files were made.
    #[error("machine {name} was deleted meanwhile")]
    Went {
        /// The machine.
        name: String,
    },
    /// An attribute cannot be changed on a machine that exists.
    #[error("`{attribute}` cannot be changed on a machine that exists")]
    Fixed {
        /// The attribute.
        attribute: String,
    },
}

impl LocalError {
    /// Returns what the engine can do about it.
    fn class(&self) -> ErrorClass {
        match self {
            Self::File(_) | Self::Store(_) => ErrorClass::Environment,
            Self::Media(error) => match error {
                MediaError::File(_) => ErrorClass::Environment,
                MediaError::Differs { .. } | MediaError::Name { .. } => ErrorClass::Invalid,
            },
            Self::Network(error) => network_class(error),
            Self::Container(error) => container_class(error),
            Self::Vm(error) => error.class(),
            Self::NoBackend { .. } | Self::DataDir { .. } => ErrorClass::Environment,
            Self::Settings { .. }
            | Self::Request { .. }
            | Self::UserData { .. }
            | Self::Name { .. }
            | Self::Fixed { .. } => ErrorClass::Invalid,
            Self::KeyUsed { .. } | Self::NameUsed { .. } | Self::NotOwned { .. } => {
                ErrorClass::Conflict
            }
            Self::Gone { .. } => ErrorClass::NotFound,
            Self::Busy { .. } | Self::Went { .. } => ErrorClass::Unavailable,
        }
    }

    /// Returns what the user can do about it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(error) | Self::Store(StoreError::File(error)) => file_hint(error),
            Self::Media(MediaError::File(error)) => file_hint(error),
            Self::Network(error) => network_hint(error),
            Self::Container(error) => container_hint(error),
            Self::Vm(error) => error.hint(),
            Self::NoBackend { .. } => {
                Some("run `meshvm doctor` to see what this computer lacks".to_owned())
            }
            Self::DataDir { .. } => Some(
                "use a data folder whose path is made of letters, digits, `/`, `-`, `_` and `.`"
                    .to_owned(),
            ),
            Self::Fixed { .. } => Some("replace the machine".to_owned()),
            Self::Store(StoreError::Record { .. } | StoreError::Unwritable { .. })
            | Self::Media(MediaError::Differs { .. } | MediaError::Name { .. })
            | Self::Settings { .. }
            | Self::Request { .. }
            | Self::UserData { .. }
            | Self::Name { .. }
            | Self::KeyUsed { .. }
            | Self::NameUsed { .. }
            | Self::NotOwned { .. }
            | Self::Gone { .. }
            | Self::Busy { .. }
            | Self::Went { .. } => None,
        }
    }
}

fn network_class(error: &NetworkError) -> ErrorClass {
    match error {
        NetworkError::Full { .. } => ErrorClass::Capacity,
        NetworkError::Tool(_)
        | NetworkError::File(_)
        | NetworkError::Damaged { .. }
        | NetworkError::Ip { .. }
        | NetworkError::NoSubnet
        | NetworkError::Taken { .. }
        | NetworkError::NoAddress { .. } => ErrorClass::Environment,
    }
}

fn container_class(error: &ContainerError) -> ErrorClass {
    match error {
        ContainerError::File(_)
        | ContainerError::Tool(_)
        | ContainerError::NotRoot
        | ContainerError::NoBase { .. }
        | ContainerError::Start { .. } => ErrorClass::Environment,
        ContainerError::Network(error) => network_class(error),
        ContainerError::Cgroup(error) => match error {
            CgroupError::File(_)
            | CgroupError::Tool(_)
            | CgroupError::NoUnified
            | CgroupError::NoKill => ErrorClass::Environment,
            CgroupError::Stuck { .. } => ErrorClass::Unavailable,
            CgroupError::InUse { .. } => ErrorClass::Conflict,
        },
        ContainerError::Image(error) => image_class(error),
    }
}

pub(crate) fn image_class(error: &ImageError) -> ErrorClass {
    match error {
        ImageError::File(_) | ImageError::Tool(_) => ErrorClass::Environment,
        ImageError::Recipe { .. } | ImageError::Differs { .. } | ImageError::Unfit { .. } => {
            ErrorClass::Invalid
        }
        ImageError::Missing { .. } => ErrorClass::NotFound,
    }
}

pub(crate) fn file_hint(error: &FileError) -> Option<String> {
    error
        .is_denied()
        .then(|| "machines of root are root's alone: run it as root, as with sudo".to_owned())
}

pub(crate) fn tool_hint(error: &ToolError) -> Option<String> {
    match error {
        ToolError::Missing { tool } => Some(tool.install()),
        ToolError::Run { .. } | ToolError::Failed { .. } => None,
    }
}

fn network_hint(error: &NetworkError) -> Option<String> {
    match error {
        NetworkError::Tool(error) => tool_hint(error),
        NetworkError::File(error) => file_hint(error),
        NetworkError::Taken { .. } => {
            Some("free that network, or destroy these machines so that they get another".to_owned())
        }
        NetworkError::Damaged { .. }
        | NetworkError::Ip { .. }
        | NetworkError::NoSubnet
        | NetworkError::Full { .. }
        | NetworkError::NoAddress { .. } => None,
    }
}

fn container_hint(error: &ContainerError) -> Option<String> {
    match error {
        ContainerError::NotRoot => Some("run it as root, as with sudo".to_owned()),
        ContainerError::NoBase { .. } => Some("replace the machine".to_owned()),
        ContainerError::File(error)
        | ContainerError::Cgroup(CgroupError::File(error))
        | ContainerError::Image(ImageError::File(error)) => file_hint(error),
        ContainerError::Tool(error)
        | ContainerError::Cgroup(CgroupError::Tool(error))
        | ContainerError::Image(ImageError::Tool(error)) => tool_hint(error),
        ContainerError::Network(error) => network_hint(error),
        ContainerError::Cgroup(CgroupError::NoUnified) => Some(
            "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
                .to_owned(),
        ),
        ContainerError::Cgroup(CgroupError::InUse { .. }) => {
            Some("ask for more memory, or replace the machine".to_owned())
        }
        ContainerError::Start { .. }
        | ContainerError::Cgroup(CgroupError::NoKill | CgroupError::Stuck { .. })
        | ContainerError::Image(
            ImageError::Recipe { .. }
            | ImageError::Differs { .. }
            | ImageError::Missing { .. }
            | ImageError::Unfit { .. },
        ) => None,
    }
}

/// An error whose message was told already: only what lies beneath is left to tell.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    fn of(error: &dyn Error) -> Option<Self> {
        error.source().map(|source| Self {
            text: source.to_string(),
            source: Self::of(source).map(Box::new),
        })
    }
}

impl From<LocalError> for ProviderError {
    fn from(error: LocalError) -> Self {
        let mut made = Self::new(error.class(), error.to_string());
        made.hint = error.hint();
        match Cause::of(&error) {
            Some(cause) => made.with_source(cause),
            None => made,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::*;
    use crate::files::doing;
    use crate::tools::Tool;

    #[test]
    fn nothing_is_said_twice() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let error = NetworkError::from(doing("write", Path::new("/x"))(denied));
        let error = ProviderError::from(LocalError::from(ContainerError::from(error)));
        assert_eq!(error.class, ErrorClass::Environment);
        assert_eq!(error.message, "failed to write /x");
        let source = error.source().unwrap();
        assert_eq!(source.to_string(), "permission denied");
        assert!(source.source().is_none());
        assert!(error.hint.unwrap().contains("sudo"));
    }

    #[test]
    fn only_what_passes_is_worth_another_try() {
        let class = |error: LocalError| ProviderError::from(error).class;
        assert!(class(LocalError::Busy { name: "a".into() }).is_transient());
        assert!(!class(LocalError::Gone { id: "a".into() }).is_transient());
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let missing = ToolError::Missing { tool: Tool::Nspawn };
        let error = ProviderError::from(LocalError::from(ContainerError::from(missing)));
        assert_eq!(error.class, ErrorClass::Environment);
        let hint = "apt-get install --no-install-recommends systemd-container";
        assert_eq!(error.hint.as_deref(), Some(hint));
    }
}
