//! How the base image of containers is built: everything that goes into it, as data.
//!
//! The hash of this data names the image, so whatever changes the outcome must
//! be in it. What the archive holds on the day of the build is not: an image is
//! built once and stays as it is.

use std::env::consts;
use std::fs;
use std::path::{Path, PathBuf};

use meshvm_provider_api::Hash;
use serde::Serialize;

use crate::files::{FileError, doing};

/// Raised when the outcome changes in a way that the fields below do not show.
const VERSION: u32 = 2;

/// The script that changes the fresh system into an image.
pub(super) const CUSTOMIZE: &str = include_str!("../../../../templates/local/customize.sh");

/// The keys that Debian signs its archive with.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What this computer trusts beside the usual certificate authorities.
const CERTIFICATES: &str = "/usr/local/share/ca-certificates";

/// What machines need to boot, take user-data and join a mesh; no udev, since there is no hardware.
const PACKAGES: [&str; 11] = [
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "hostname",
    "iproute2",
    "iptables",
    "libpam-systemd",
    "procps",
    "sudo",
    "systemd-sysv",
];

/// They stay in the image, so that apt is as quick inside it.
const APT: [&str; 3] = [
    "APT::Install-Recommends \"false\"",
    "Acquire::Languages \"none\"",
    "Acquire::Retries \"3\"",
];

/// Nobody reads manuals in a machine, and its disk need not survive a power cut half written.
const DPKG: [&str; 6] = [
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
];

/// What this computer's apt was told about reaching archives, which holds for the image too.
const INHERITED: [&str; 4] = [
    "Acquire::Check-Date ",
    "Acquire::Check-Valid-Until ",
    "Acquire::http::Proxy ",
    "Acquire::https::Proxy ",
];

/// Everything that goes into a Debian image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Recipe {
    version: u32,
    pub suite: &'static str,
    pub arch: &'static str,
    pub packages: &'static [&'static str],
    pub apt: Vec<String>,
    pub dpkg: &'static [&'static str],
    pub customize: &'static str,
    pub certificates: Vec<(PathBuf, Hash)>,
}

impl Recipe {
    /// Makes the recipe of this computer's Debian 12, from what `apt-config dump` tells.
    pub fn debian_12(apt_config: &str) -> Result<Self, FileError> {
        let inherited = apt_config
            .lines()
            .filter(|line| INHERITED.iter().any(|key| line.starts_with(key)))
            .map(|line| line.trim_end_matches(';').to_owned());
        Ok(Self {
            version: VERSION,
            suite: "bookworm",
            arch: debian_arch(consts::ARCH),
            packages: &PACKAGES,
            apt: APT
                .map(str::to_owned)
                .into_iter()
                .chain(inherited)
                .collect(),
            dpkg: &DPKG,
            customize: CUSTOMIZE,
            certificates: certificates(Path::new(CERTIFICATES))?,
        })
    }

    /// Returns the arguments of mmdebstrap, which knows the archives of a release by its name.
    pub fn arguments(&self, root: &Path, customize: &Path) -> Vec<String> {
        let mut arguments = vec![
            "--mode=root".to_owned(),
            "--variant=minbase".to_owned(),
            "--format=directory".to_owned(),
            "--skip=output/dev".to_owned(),
            format!("--architectures={}", self.arch),
            format!("--include={}", self.packages.join(",")),
            format!("--customize-hook={}", customize.display()),
        ];
        arguments.extend(self.apt.iter().map(|option| format!("--aptopt={option}")));
        arguments.extend(self.dpkg.iter().map(|option| format!("--dpkgopt={option}")));
        arguments.push(self.suite.to_owned());
        arguments.push(root.display().to_string());
        arguments
    }
}

fn debian_arch(arch: &'static str) -> &'static str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        // Most other names are the same in both worlds.
        other => other,
    }
}

fn certificates(folder: &Path) -> Result<Vec<(PathBuf, Hash)>, FileError> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(doing("list", folder))?.path();
        if path.extension().is_some_and(|extension| extension == "crt") {
            let bytes = fs::read(&path).map_err(doing("read", &path))?;
            found.push((path, Hash::of(bytes)));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_holds_what_changes_the_outcome() {
        let plain = Recipe::debian_12("").unwrap();
        let config = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"http://p:3142\";\n\
                      Acquire::http::Proxy::example.org \"DIRECT\";\n";
        let proxied = Recipe::debian_12(config).unwrap();
        assert_ne!(plain, proxied);
        let arguments = proxied.arguments(Path::new("/out"), Path::new("/hook"));
        assert!(arguments.contains(&"--aptopt=Acquire::http::Proxy \"http://p:3142\"".to_owned()));
        assert!(
            !arguments
                .iter()
                .any(|argument| argument.contains("example.org"))
        );
        assert_eq!(arguments[arguments.len() - 2..], ["bookworm", "/out"]);
    }

    #[test]
    fn certificates_count_by_content() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.crt"), "one").unwrap();
        fs::write(folder.path().join("b.txt"), "two").unwrap();
        let one = certificates(folder.path()).unwrap();
        fs::write(folder.path().join("a.crt"), "other").unwrap();
        let other = certificates(folder.path()).unwrap();
        assert_eq!((one.len(), other.len()), (1, 1));
        assert_ne!(one, other);
        assert_eq!(certificates(Path::new("/none")).unwrap(), []);
    }
}
