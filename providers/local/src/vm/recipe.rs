//! How the base image of virtual machines is built: everything that goes into it, as data.
//!
//! As with containers, the hash of this data names the image.

use std::path::Path;

use serde::Serialize;

use crate::container::Recipe as System;
use crate::files::FileError;

/// Raised when the outcome changes in a way that the fields below do not show.
const VERSION: u32 = 2;

/// The script that changes the fresh system into an image.
pub(super) const CUSTOMIZE: &str = include_str!("../../../../templates/local/vm-customize.sh");

/// The script that makes a disk of it.
pub(super) const MAKE_DISK: &str = include_str!("../../../../templates/local/vm-disk.sh");

/// How large the disk is; what is not used of it takes no room.
const DISK: u64 = 8 << 30;

/// What machines need to boot, take user-data and join a mesh.
const PACKAGES: [&str; 18] = [
    "busybox-static",
    "ca-certificates",
    "cloud-init",
    "cpio",
    "curl",
    "dbus",
    "e2fsprogs",
    "hostname",
    "iproute2",
    "iptables",
    "iputils-ping",
    "kmod",
    "linux-image-cloud-amd64",
    "nftables",
    "procps",
    "sudo",
    "systemd-sysv",
    "udev",
];

/// The image has an initrd of its own, and dpkg must not ask about the file that says so.
const NO_INITRAMFS: &str = "mkdir -p \"$1/etc/initramfs-tools\" && echo update_initramfs=no > \"$1/etc/initramfs-tools/update-initramfs.conf\"";
const KEEP_CONFIG: &str = "force-confold";

/// Everything that goes into a Debian image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Recipe {
    version: u32,
    system: System,
    make_disk: &'static str,
    disk: u64,
}

impl Recipe {
    /// Makes the recipe of this computer's Debian 12, from what `apt-config dump` tells.
    pub fn debian_12(apt_config: &str) -> Result<Self, FileError> {
        let mut system = System::debian_12(apt_config)?;
        system.packages = &PACKAGES;
        system.customize = CUSTOMIZE;
        Ok(Self {
            version: VERSION,
            system,
            make_disk: MAKE_DISK,
            disk: DISK,
        })
    }

    /// Returns the architecture.
    pub fn arch(&self) -> &'static str {
        self.system.arch
    }

    /// Returns how many bytes the disk has.
    pub fn disk(&self) -> u64 {
        self.disk
    }

    /// Returns the arguments of mmdebstrap, which knows the archives of a release by its name.
    ///
    /// With root it makes `folder/root`; without, `folder/root.tar`, since the
    /// owners of files cannot be set then. The folder holds [`CUSTOMIZE`] as `customize.sh`.
    pub fn arguments(&self, root: bool, folder: &Path) -> Vec<String> {
        let System {
            arch,
            suite,
            packages,
            apt,
            dpkg,
            ..
        } = &self.system;
        let path = |name: &str| folder.join(name).display().to_string();
        let (mode, format, target) = if root {
            ("root", "directory", path("root"))
        } else {
            ("unshare", "tar", path("root.tar"))
        };
        let mut arguments = vec![
            format!("--mode={mode}"),
            format!("--format={format}"),
            "--variant=minbase".to_owned(),
            "--skip=output/dev".to_owned(),
            format!("--architectures={arch}"),
            format!("--include={}", packages.join(",")),
            format!("--essential-hook={NO_INITRAMFS}"),
        ];
        let mut hooks = Vec::new();
        let certificate = self.system.certificates.first();
        if let Some(folder) = certificate.and_then(|(path, _)| path.parent()) {
            hooks.push(format!("copy-in {} /usr/local/share", folder.display()));
        }
        // The first is done with the user's own rights, outside; the path has no quotes in it.
        hooks.extend([
            format!("copy-in '{}' /tmp", path("customize.sh")),
            "chroot \"$1\" sh /tmp/customize.sh".to_owned(),
            format!(
                "download /boot/meshvm-vmlinuz '{}'",
                path(super::images::VMLINUZ)
            ),
            format!(
                "download /boot/meshvm-initrd.img '{}'",
                path(super::images::INITRD)
            ),
            "rm \"$1/tmp/customize.sh\" \"$1\"/boot/meshvm-*".to_owned(),
        ]);
        arguments.extend(hooks.iter().map(|hook| format!("--customize-hook={hook}")));
        arguments.extend(apt.iter().map(|option| format!("--aptopt={option}")));
        let dpkg = dpkg.iter().chain([&KEEP_CONFIG]);
        arguments.extend(dpkg.map(|option| format!("--dpkgopt={option}")));
        arguments.extend([(*suite).to_owned(), target]);
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_others_build_the_same_system() {
        let recipe = Recipe::debian_12("").unwrap();
        let root = recipe.arguments(true, Path::new("/a b"));
        let user = recipe.arguments(false, Path::new("/a b"));
        let differing: Vec<_> = root
            .iter()
            .zip(&user)
            .filter(|(one, other)| one != other)
            .collect();
        assert_eq!(differing.len(), 3, "{differing:?}");
        assert_eq!(user[user.len() - 2..], ["bookworm", "/a b/root.tar"]);
        assert!(user.contains(&"--customize-hook=copy-in '/a b/customize.sh' /tmp".to_owned()));
        assert!(
            recipe
                .arguments(true, Path::new("/x"))
                .iter()
                .any(|a| a.contains("linux-image"))
        );
    }
}
