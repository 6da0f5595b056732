//! The bootstrap: the user-data that turns a fresh machine into one of its fleet.
//!
//! One cloud-config serves all machines of a fleet. It writes a script and the
//! files that the script puts in their places, and runs the script, which
//! installs packages, files and the sidecar, makes the machine a member of an
//! Istio mesh where it is given what that takes ([`IstioFiles`]), starts the
//! sidecar, and reports how far it came in `/var/lib/meshvm/result.json`:
//! `{"state":"working","step":…}`, then `{"state":"ready","sidecar":…,"seconds":…}`
//! (with `certificateNotAfter` where that can be read) or
//! `{"state":"failed","step":…,"reason":…}`. The same line goes to the virtio
//! port `meshvm.result` where there is one.
//!
//! Run again, the script converges: it changes what is not as the request says,
//! restarts the sidecar when something of it changed, and else leaves it alone.
//!
//! This module is pure: it reads no file, environment or clock.
//!
//! Invariants:
//! 1. The text depends on the request alone, byte for byte, and holds nothing
//!    that tells one machine of the fleet from another.
//! 2. Every value that lands in a template goes through a quoting helper
//!    ([`quote`]); a template in which one does not is refused before it is filled.
//! 3. No secret goes in: what is rendered here can be read in the cloud's console.
//!    [`with_private_files`] is the exception, and its result has a type of its own.

pub mod encode;
mod gzip;
pub mod istio;
pub mod private;
pub mod quote;
pub mod render;
pub mod template;
#[cfg(test)]
mod tests;

pub use encode::{Encoded, TooLarge, encode};
pub use istio::{HostAddress, Hosts, IstioFiles, MachineValue, TOKEN_FILE};
pub use private::{PrivateError, with_private_files};
pub use render::{RenderError, render};

use crate::spec::model::{Arch, Bootstrap, Package, PackageFormat, Sidecar};

/// Where the script is on a machine.
pub const SCRIPT_PATH: &str = "/var/lib/meshvm/bootstrap/bootstrap.sh";

/// The folder on a machine where files wait until the script puts them in their places.
const STAGING_DIR: &str = "/var/lib/meshvm/bootstrap";

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
    /// What makes it a member of an Istio mesh; without a sidecar, nothing.
    pub istio: Option<&'a IstioFiles>,
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
    let Package { format, arch, .. } = package;
    format!("sidecar-{}.{}", arch_name(*format, *arch), format.as_str())
}

/// Returns the architecture as the package manager says it: `dpkg --print-architecture`
/// and `rpm --eval '%{_arch}'`.
fn arch_name(format: PackageFormat, arch: Arch) -> &'static str {
    match (format, arch) {
        (PackageFormat::Deb, Arch::Amd64) => "amd64",
        (PackageFormat::Deb, Arch::Arm64) => "arm64",
        (PackageFormat::Rpm, Arch::Amd64) => "x86_64",
        (PackageFormat::Rpm, Arch::Arm64) => "aarch64",
    }
}
