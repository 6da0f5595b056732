//! What a fleet file must keep to beyond its shape: that its parts agree.
//!
//! Every function here adds problems and returns nothing; none stops at the first. They are
//! run on every part whose shape is right, whatever is wrong elsewhere.
//!
//! This module may not touch the cloud or the mesh: what only they know is checked later.

mod entry;
mod external;
mod identity;
mod machines;
mod membership;
mod mesh;
mod names;
mod together;
mod traffic;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diag::Code;

use super::model::{Arch, FleetBody, Package, PackageFormat, Sidecar};
use super::place::At;
use super::problems::Problems;
use super::tree::Node;
use super::version;
use super::words::{list, nearest};

/// What all checks need: where things are, and where to tell what is wrong.
pub(super) struct Checker<'a> {
    /// The finished tree.
    pub root: &'a Node,
    /// The problems so far.
    pub problems: &'a mut Problems,
    /// What a problem is called.
    code: Code,
}

impl<'a> Checker<'a> {
    /// Makes one that calls problems those of a value.
    pub fn new(root: &'a Node, problems: &'a mut Problems) -> Self {
        Self {
            root,
            problems,
            code: Code::Value,
        }
    }
}

impl Checker<'_> {
    /// Returns one that calls problems something else.
    fn coded(&mut self, code: Code) -> Checker<'_> {
        Checker {
            root: self.root,
            problems: self.problems,
            code,
        }
    }

    fn error<S: AsRef<str>>(&mut self, path: &[S], summary: String, hint: impl Into<String>) {
        let at = self.root.locate(path);
        self.problems.error(self.code, &at, summary, hint);
    }

    fn key_error<S: AsRef<str>>(&mut self, path: &[S], summary: String, hint: impl Into<String>) {
        let at = self.root.locate_key(path);
        self.problems.error(self.code, &at, summary, hint);
    }

    fn warning<S: AsRef<str>>(&mut self, path: &[S], summary: String, hint: impl Into<String>) {
        let at = self.root.locate(path);
        self.problems.warning(self.code, &at, summary, hint);
    }

    /// Returns the line of a path as a person finds it, such as `meshvm.yaml:12:5`.
    fn named_place<S: AsRef<str>>(&self, path: &[S]) -> String {
        self.problems.files.name(self.root.locate(path).mark)
    }
}

/// Where the ledger may be, by URL scheme, with an example.
const LEDGERS: [(&str, &str); 5] = [
    ("file", "file://.meshvm"),
    ("memory", "memory://"),
    ("s3", "s3://bucket/prefix"),
    ("gs", "gs://bucket/prefix"),
    ("az", "az://container/prefix"),
];

/// Checks the ledger's URL.
pub(super) fn ledger(url: &str, checker: &mut Checker<'_>) {
    let path = ["ledger"];
    let schemes = || LEDGERS.map(|(scheme, _)| scheme);
    let Some((scheme, rest)) = url.split_once("://") else {
        let summary = format!("`{url}` is not the URL of a ledger");
        checker.error(&path, summary, format!("for a folder write file://{url}"));
        return;
    };
    let Some((_, example)) = LEDGERS.iter().find(|(known, _)| *known == scheme) else {
        let hint = match nearest(scheme, schemes()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known are {}", list(schemes())),
        };
        checker.error(&path, format!("a ledger cannot be at `{scheme}://`"), hint);
        return;
    };
    // Wherever the URL is shown or kept, a secret in it would be, too.
    if !matches!(scheme, "memory" | "file") && rest.contains(['@', ':', '?', '#']) {
        let summary = "the ledger's URL holds more than a name and a path".to_owned();
        let hint = format!(
            "write it as {example}; credentials, account and endpoint come from the environment \
             (AWS_*, GOOGLE_* or AZURE_*)"
        );
        checker.error(&path, summary, hint);
        return;
    }
    let place = match scheme {
        "memory" => Some(rest),
        "file" => Some(rest).filter(|path| !path.is_empty()),
        _ => rest.split('/').next().filter(|bucket| !bucket.is_empty()),
    };
    if place.is_none() {
        let summary = format!("the ledger's URL `{url}` names no place");
        checker.error(&path, summary, format!("write it as {example}"));
    }
}

/// The longest life of a certificate that the control plane signs by default: `MAX_WORKLOAD_CERT_TTL`
/// (<https://istio.io/latest/docs/reference/commands/pilot-discovery/>).
const LONGEST_CERTIFICATE: Duration = Duration::from_secs(90 * 24 * 3600);

/// The shortest life of a certificate. The sidecar renews it at half of its life, and proves by the
/// old one who it is: the other half is all that a reboot or a restart of the control plane may
/// take. A token that lives shorter does not exist either.
const SHORTEST_CERTIFICATE: Duration = Duration::from_secs(600);

/// Checks the sidecar's packages and settings.
pub(super) fn sidecar(sidecar: &Sidecar, checker: &mut Checker<'_>) {
    if !version::is_known(&sidecar.version) {
        let (least, most) = (version::KNOWN.start(), version::KNOWN.end());
        let summary = format!(
            "what meshvm writes for a sidecar is that of Istio 1.{least} to 1.{most}, and this one is \
             of version {}",
            sidecar.version
        );
        let hint = format!("use a package of 1.{least} to 1.{most}");
        let mut checker = checker.coded(Code::UnknownVersion);
        checker.warning(&["sidecar", "version"], summary, hint);
    }
    let ttl = sidecar.config.certificate_ttl;
    // None at all leaves it to the mesh.
    if !ttl.0.is_zero() && ttl.0 < SHORTEST_CERTIFICATE {
        let path = ["sidecar", "config", "certificateTtl"];
        let summary = format!(
            "a certificate for {ttl} is renewed at half of that, and a machine that is away for the \
             other half cannot come back by itself"
        );
        let hint = "write at least 10m, or 0s to leave it to the mesh, which gives 24h";
        checker.error(&path, summary, hint);
    }
    if ttl.0 > LONGEST_CERTIFICATE {
        let path = ["sidecar", "config", "certificateTtl"];
        let summary = format!("no control plane signs a certificate for {ttl}");
        checker.error(&path, summary, "write at most 2160h, which is 90 days");
    }
    let mut first: BTreeMap<(PackageFormat, Arch), String> = BTreeMap::new();
    for (index, package) in sidecar.packages.iter().enumerate() {
        let Package {
            format,
            arch,
            path,
            url,
            sha256: _,
        } = package;
        let index = index.to_string();
        let place = ["sidecar", "packages", &index];
        match (path, url) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                let hint = "add `path` for a file on this computer, or `url`";
                checker.error(&place, "the package is nowhere to be had".to_owned(), hint);
            }
            (Some(_), Some(_)) => {
                let place = ["sidecar", "packages", &index, "url"];
                let summary = "the package has both `path` and `url`".to_owned();
                let mut checker = checker.coded(Code::Disagreement);
                checker.key_error(&place, summary, "keep one of them");
            }
        }
        if let Some(first) = first.get(&(*format, *arch)) {
            let (format, arch) = (format.as_str(), arch.as_str());
            let summary = format!("there is another package for {format} and {arch}");
            let mut checker = checker.coded(Code::Disagreement);
            checker.error(&place, summary, format!("the first is at {first}"));
        } else {
            let here = checker.named_place(&place);
            first.insert((*format, *arch), here);
        }
    }
}

/// Checks that a fleet has exactly one provider's block; `found` are those that it has.
pub(super) fn provider(fleet: &str, found: &[&str], known: &[&str], checker: &mut Checker<'_>) {
    match found {
        [_] => {}
        [] => {
            let summary = format!("the fleet `{fleet}` has no provider");
            let hint = format!("add one block of {}", list(known.iter().copied()));
            let mut checker = checker.coded(Code::Provider);
            checker.key_error(&["fleets", fleet], summary, hint);
        }
        [first, rest @ ..] => {
            for second in rest {
                let summary =
                    format!("the fleet `{fleet}` has two providers, `{first}` and `{second}`");
                let hint = "keep one; machines of both need two fleets";
                let mut checker = checker.coded(Code::Provider);
                checker.key_error(&["fleets", fleet, second], summary, hint);
            }
        }
    }
}

/// Checks one fleet; `has_mesh` is false when the file says nothing of a mesh.
pub(super) fn fleet(name: &str, body: &FleetBody, has_mesh: bool, checker: &mut Checker<'_>) {
    let FleetBody {
        replicas: _,
        labels,
        membership,
        external,
        bootstrap,
        rollout,
        protect: _,
    } = body;
    machines::labels(name, labels, checker);
    machines::bootstrap(name, bootstrap, checker);
    machines::rollout(name, rollout, checker);
    if let Some(membership) = membership {
        membership::check(name, membership, checker);
    }
    if let Some(external) = external {
        external::check(name, external, checker);
    }
    let mut checker = checker.coded(Code::Disagreement);
    if membership.is_some() && external.is_some() {
        let summary = format!("the fleet `{name}` is both a member and external");
        let hint = "keep one; set to null what comes from `defaults`";
        checker.key_error(&["fleets", name, "external"], summary, hint);
    }
    for (field, word, is_set) in [
        ("membership", "has a membership", membership.is_some()),
        ("external", "is external", external.is_some()),
    ] {
        if is_set && !has_mesh {
            let summary = format!("the fleet `{name}` {word}, and the file has no mesh");
            let hint = "add `mesh: {manifests: {path: ./mesh}}`; without it nothing is written";
            checker.warning(&["fleets", name, field], summary, hint);
        }
    }
}

pub(super) use identity::identity;
pub(super) use mesh::mesh;
pub(super) use together::{together, with_sidecar};

/// Returns the place of a problem that a provider found in its block.
pub(super) fn finding_place(root: &Node, fleet: &str, provider: &str, path: &[String]) -> At {
    let block = ["fleets", fleet, provider];
    let path: Vec<&str> = block
        .into_iter()
        .chain(path.iter().map(String::as_str))
        .collect();
    root.locate(&path)
}
