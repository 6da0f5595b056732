//! The fleet file, typed: what a user wrote, checked and merged.
//!
//! The doc comments here are the reference of the file: `meshvm schema` prints
//! them. Nothing in this module reads a file or the environment.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scalars::{Amount, Duration, FileMode, Name};

mod external;
mod membership;
mod mesh;
mod service_account;
mod sidecar_config;
mod traffic;

pub use external::{External, ExternalPort};
pub use membership::{
    Exec, Grpc, HttpGet, HttpHeader, Membership, Port, Probe, Scheme, Service, ServiceEntry,
    ServiceEntryPort, ServicePort, TcpSocket,
};
pub use mesh::{EastWest, Identity, KubernetesMesh, Manifests, Mesh, ServiceAccountToken};
pub use service_account::ServiceAccount;
pub use sidecar_config::SidecarConfig;
pub use traffic::{Abort, Delay, Fault, Percentage, Retries, Traffic};

/// A fleet file: the fleets of one stack and their membership of a mesh.
// Fleets have a provider's block besides these fields, which the schema adds and the reader
// takes out; so the file is read part by part, never as this type.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "meshvm fleet file")]
pub struct FleetFile {
    /// The version of this format.
    pub api_version: ApiVersion,
    /// The owner of everything made from this file: a label on every object.
    pub stack: Name,
    /// Where the lock and the journal are kept: file://, memory://, s3://, gs:// or az://.
    /// A relative file:// path starts at the folder of the first fleet file.
    #[serde(default = "default_ledger")]
    pub ledger: String,
    /// Variables with their defaults, used as ${var.NAME}. A variable without a default (null)
    /// must be set by --var, --var-file or the environment variable MESHVM_VAR_NAME.
    #[serde(default)]
    pub vars: BTreeMap<String, Value>,
    /// Where membership is written; without it, machines join no mesh.
    #[serde(default)]
    pub mesh: Option<Mesh>,
    /// The sidecar to install on every machine; without it, none is installed.
    #[serde(default)]
    pub sidecar: Option<Sidecar>,
    /// How machines prove who they are to the mesh. With a cluster as the mesh, a token of the
    /// fleet's service account when absent; with manifests, nothing.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The most that one run may destroy or replace.
    #[serde(default)]
    pub budgets: Budgets,
    /// Merged into every fleet: maps merge, and what the fleet says itself wins; null there takes
    /// away what is said here. A provider's block is merged only into fleets of that provider.
    #[serde(default)]
    pub defaults: Option<FleetBody>,
    /// The fleets, by name.
    #[serde(default)]
    pub fleets: BTreeMap<Name, FleetBody>,
}

pub(super) fn default_ledger() -> String {
    "file://.meshvm".to_owned()
}

/// The version of the fleet file's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The only version so far.
    #[serde(rename = "meshvm/v1")]
    V1,
}

/// The sidecar that every machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sidecar {
    /// The version of the package, as the package itself says; the release of an rpm may be left out.
    pub version: String,
    /// One package for each format and architecture that a fleet needs.
    #[schemars(length(min = 1))]
    pub packages: Vec<Package>,
    /// The systemd unit that the package brings.
    #[serde(default = "default_unit")]
    pub unit: String,
    /// Answers 200 on the machine once the sidecar is ready.
    #[serde(default = "default_ready_url")]
    #[schemars(regex(pattern = r"^https?://"))]
    pub ready_url: String,
    /// How it is configured on machines that join a cluster's mesh.
    #[serde(default)]
    pub config: SidecarConfig,
}

fn default_unit() -> String {
    "istio.service".to_owned()
}

fn default_ready_url() -> String {
    "http://127.0.0.1:15021/healthz/ready".to_owned()
}

/// A sidecar package, by `path` or by `url`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Package {
    /// The package format.
    pub format: PackageFormat,
    /// The architecture.
    pub arch: Arch,
    /// A file on this computer; only for providers that can hand it to the machine (local).
    #[serde(default)]
    pub path: Option<String>,
    /// Where the machine fetches it.
    #[serde(default)]
    #[schemars(regex(pattern = r"^https?://"))]
    pub url: Option<String>,
    /// The SHA-256 of the package, hexadecimal; the machine refuses any other.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// A package format.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum PackageFormat {
    /// Debian, Ubuntu.
    Deb,
    /// Fedora, Rocky, SUSE and others with rpm.
    Rpm,
}

impl PackageFormat {
    /// Returns the format as the file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }
}

/// A processor architecture, in Debian's words.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Arch {
    /// Returns the architecture as the file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// The most machines that one run may destroy or replace; more is refused before the first call.
///
/// A percentage is of the machines that the stack has; it is rounded down, and allows at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budgets {
    /// The most machines deleted and not replaced; 25% when absent.
    #[serde(default)]
    pub destroy: Option<Amount>,
    /// The most machines replaced; 50% when absent.
    #[serde(default)]
    pub replace: Option<Amount>,
}

/// A fleet: N interchangeable machines from one template. Beside these fields it has exactly one
/// provider's block, under the provider's name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetBody {
    /// How many machines; 1 when absent.
    #[serde(default)]
    #[schemars(range(max = 100_000))]
    pub replicas: Option<u32>,
    /// The user's own labels on the machines; keys must not start with "meshvm-".
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The fleet's side of the mesh; without it, the machines are no members.
    #[serde(default)]
    pub membership: Option<Membership>,
    /// Makes the machines known to the mesh, though they are no members: they run no sidecar and
    /// have no identity. In place of a membership.
    #[serde(default)]
    pub external: Option<External>,
    /// What is put on the machines beside the sidecar.
    #[serde(default)]
    pub bootstrap: Bootstrap,
    /// How machines are replaced.
    #[serde(default)]
    pub rollout: Rollout,
    /// Machines are never destroyed or replaced without --allow-protected.
    #[serde(default)]
    pub protect: bool,
}

/// What is put on the machines beside the sidecar, in this order: packages, files, commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootstrap {
    /// Packages of the machine's distribution.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Files.
    #[serde(default)]
    pub files: Vec<File>,
    /// Commands for /bin/sh, run in order as root; a failing one fails the machine.
    #[serde(default)]
    pub run: Vec<String>,
    /// A handlebars template of the user-data, in place of meshvm's own; a relative path starts
    /// at the folder of the fleet file.
    #[serde(default)]
    pub template: Option<String>,
}

/// A file on the machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    /// The absolute path.
    #[schemars(regex(pattern = r"^/"))]
    pub path: String,
    /// The mode, octal in quotes; "0644" when absent.
    #[serde(default)]
    pub mode: FileMode,
    /// The owner, as user or user:group; root:root when absent.
    #[serde(default = "default_owner")]
    #[schemars(regex(pattern = r"^[a-z_][-a-z0-9_]*(:[a-z_][-a-z0-9_]*)?$"))]
    pub owner: String,
    /// The content. It is part of the user-data: put no secret here.
    pub content: String,
}

fn default_owner() -> String {
    "root:root".to_owned()
}

/// How machines are replaced: new ones come up before, and as, old ones go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// The most machines above `replicas` while replacing; 1 when absent. A percentage is rounded up.
    #[serde(default)]
    pub max_surge: Option<Amount>,
    /// The most machines below `replicas` that may be unavailable while replacing; 0 when absent.
    /// A percentage is rounded down.
    #[serde(default)]
    pub max_unavailable: Option<Amount>,
    /// How long a new machine must be ready before it counts; 0s when absent.
    #[serde(default)]
    pub min_ready: Option<Duration>,
    /// How long a new machine may take to become ready; 10m when absent.
    #[serde(default)]
    pub ready_timeout: Option<Duration>,
    /// How long a machine is left alone after its entry is gone from the mesh, for connections to
    /// end, before it is deleted. 5s when absent, and 0s where the mesh is a folder of manifests:
    /// nobody knows when those are applied.
    #[serde(default)]
    pub drain: Option<Duration>,
}
