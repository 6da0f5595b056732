//! The bootstrap: the user-data that turns a fresh machine into one of its fleet.
//!
//! One cloud-config serves all machines of a fleet. It writes a script and the
//! files that the script puts in their places, and runs the script, which
//! installs packages, files and the sidecar, starts that, and reports how far
//! it came in `/var/lib/meshvm/result.json`:
//! `{"state":"working","step":…}`, then `{"state":"ready","sidecar":…,"seconds":…}`
//! or `{"state":"failed","step":…,"reason":…}`. The same line goes to the
//! virtio port `meshvm.result` where there is one.
//!
//! This module is pure: it reads no file, environment or clock.
//!
//! Invariants:
//! 1. The text depends on the request alone, byte for byte, and holds nothing
//!    that tells one machine of the fleet from another.
//! 2. Every value that lands in a template goes through a quoting helper
//!    ([`quote`]); a template in which one does not is refused before it is filled.
//! 3. No secret goes in: what is rendered here can be read in the cloud's console.

pub mod encode;
mod gzip;
pub mod quote;
pub mod render;
pub mod template;
#[cfg(test)]
mod tests;

pub use encode::{Encoded, TooLarge, encode};
pub use render::{RenderError, render};

use crate::spec::model::{Arch, Bootstrap, Package, PackageFormat, Sidecar};

/// The name of the private file with a machine's token for the mesh.
pub const TOKEN_FILE: &str = "istio-token";

/// Where the script is on a machine.
pub const SCRIPT_PATH: &str = "/var/lib/meshvm/bootstrap/bootstrap.sh";

/// The folder on a machine where files wait until the script puts them in their places.
const STAGING_DIR: &str = "/var/lib/meshvm/bootstrap";

/// A file that meshvm makes for the sidecar, put in its place after the package is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFile {
    /// The absolute path.
    pub path: String,
    /// The permissions, octal.
    pub mode: String,
    /// The owner, as user or user:group; the package may be what makes the user.
    pub owner: String,
    /// The content. No secret.
    pub content: String,
}

/// What a bootstrap is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The stack.
    pub stack: &'a str,
    /// The fleet.
    pub fleet: &'a str,
    /// The sidecar; without it, none is installed.
    pub sidecar: Option<&'a Sidecar>,
    /// What the user wants on the machines.
    pub bootstrap: &'a Bootstrap,
    /// What meshvm puts beside the sidecar; without a sidecar, nothing.
    pub staged: &'a [StagedFile],
    /// The text of the user's own template of the user-data.
    pub own_template: Option<&'a str>,
}

/// A rendered bootstrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The user-data, as plain text.
    pub user_data: String,
    /// What is packed in it and was generated, by name.
    pub files: Vec<(String, String)>,
}

/// Returns the name under which a provider hands a package to a machine.
///
/// The script looks for it in `/var/lib/meshvm/media` and on a disk labelled `MESHVM`.
pub fn media_name(package: &Package) -> String {
    format!(
        "sidecar-{}.{}",
        arch_name(package.arch),
        match package.format {
            PackageFormat::Deb => "deb",
        }
    )
}

/// Returns the architecture as `dpkg --print-architecture` says it.
fn arch_name(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "amd64",
        Arch::Arm64 => "arm64",
    }
}
