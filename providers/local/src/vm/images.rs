//! The base images of virtual machines: disks that many overlays stand on.
//!
//! They are kept and locked as the images of containers are, under other names.
//! An image that is built here is a file system without partitions, and has its
//! kernel beside it; one of the user is a disk that boots by itself.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use meshvm_provider_api::{Hash, Progress};
use nix::unistd::{Uid, User};
use serde::Deserialize;

use super::error::VmError;
use super::recipe::{CUSTOMIZE, MAKE_DISK, Recipe};
use crate::container::{self, ImageError, is_root};
use crate::files::{self, doing};
use crate::image::{Image, ImageFile};
use crate::size::Size;
use crate::tools::{Tool, Tools};

/// The disk of an image.
const DISK: &str = "disk.qcow2";
/// The kernel of an image, if it is beside its disk.
pub(super) const VMLINUZ: &str = "vmlinuz";
/// What the kernel starts with.
pub(super) const INITRD: &str = "initrd.img";

/// What building an image needs, whoever does it.
const BUILD: [Tool; 4] = [Tool::Mmdebstrap, Tool::AptConfig, Tool::Setpriv, Tool::Mkfs];
/// What it needs with root.
const BUILD_ROOT: [Tool; 1] = [Tool::Unshare];
/// What it needs without.
const BUILD_USER: [Tool; 3] = [Tool::Fakeroot, Tool::Newuidmap, Tool::Tar];
/// Where users without root have the ids that a system needs.
pub(super) const ID_RANGES: [(&str, &str); 2] =
    [("user ids", "/etc/subuid"), ("group ids", "/etc/subgid")];

/// The images of a data folder.
pub(super) struct Images {
    folder: PathBuf,
    shared: container::Images,
    tools: Tools,
    progress: Progress,
}

/// What `qemu-img info` tells of a disk.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    backing_filename: Option<String>,
    format_specific: Option<Specific>,
}

#[derive(Debug, Deserialize)]
struct Specific {
    data: Option<Details>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Details {
    data_file: Option<String>,
}

impl Images {
    pub fn new(data_dir: &Path, tools: Tools, progress: Progress) -> Self {
        Self {
            folder: data_dir.join("images"),
            shared: container::Images::new(data_dir, tools.clone(), progress.clone()),
            tools,
            progress,
        }
    }

    /// Returns the disk of an image.
    pub fn disk(&self, id: &str) -> PathBuf {
        self.folder.join(id).join(DISK)
    }

    /// Returns the folder of an image that has its kernel beside its disk.
    pub fn kernel(&self, id: &str) -> Option<PathBuf> {
        let folder = self.folder.join(id);
        folder.join(VMLINUZ).exists().then_some(folder)
    }

    /// Returns the size of an image's disk.
    pub fn size(&self, id: &str) -> Result<Size, VmError> {
        Ok(Size::of(self.info(&self.disk(id))?.virtual_size))
    }

    /// Makes an image ready and returns its id; quick when it is.
    pub fn make(&self, image: &Image) -> Result<String, VmError> {
        match image {
            Image::Debian12 => {
                let recipe = Recipe::debian_12(&self.tools.run(Tool::AptConfig, ["dump"])?)?;
                let json =
                    serde_json::to_vec(&recipe).map_err(|source| ImageError::Recipe { source })?;
                let id = format!("vm-debian-12-{}-{}", recipe.arch(), Hash::of(json));
                if !self.disk(&id).exists() {
                    require_build()?;
                }
                self.shared
                    .make_with(&id, image, |folder| self.build(&recipe, folder))?;
                Ok(id)
            }
            Image::File(file) => {
                let id = format!("vm-{}", file.sha256);
                self.shared
                    .make_with(&id, image, |folder| self.import(image, file, folder))?;
                Ok(id)
            }
        }
    }

    /// Builds a Debian image from the archive.
    fn build(&self, recipe: &Recipe, folder: &Path) -> Result<(), ImageError> {
        self.progress.say(
            "building the base image debian-12 for virtual machines from Debian's packages, once; it takes a minute or more",
        );
        for (name, script) in [("customize.sh", CUSTOMIZE), ("disk.sh", MAKE_DISK)] {
            files::write(&folder.join(name), script.as_bytes(), 0o755)?;
        }
        let root = is_root();
        let mut args: Vec<OsString> = if root {
            // When it is killed, its children and mounts go with it: they are in namespaces of its own.
            let words = "--mount --propagation slave --pid --fork --kill-child --mount-proc --";
            words.split(' ').map(OsString::from).collect()
        } else {
            // Its files are other users', which only it can put away: it is not killed, but
            // asked to end, which it does at a place that suits it, a minute later at most.
            ["--pdeathsig", "TERM", "--"].map(OsString::from).into()
        };
        args.push(Tool::Mmdebstrap.require()?.into());
        args.extend(
            recipe
                .arguments(root, folder)
                .into_iter()
                .map(OsString::from),
        );
        let runner = if root { Tool::Unshare } else { Tool::Setpriv };
        self.tools.call(runner, args, "", |line| {
            // Its own steps, and not what it does for us in them.
            if let Some(line) = line.strip_prefix("I: ")
                && !line.contains("-hook ")
                && !line.contains(" hook:")
            {
                self.progress.say(&format!("base image: {line}"));
            }
        })?;
        self.progress.say("base image: making the disk");
        let mut args: Vec<OsString> = ["--pdeathsig", "KILL", "--"].map(OsString::from).into();
        if !root {
            args.push(Tool::Fakeroot.require()?.into());
        }
        args.extend(["/bin/sh".into(), folder.join("disk.sh").into()]);
        args.extend([folder.into(), recipe.disk().to_string().into()]);
        self.tools.run(Tool::Setpriv, args)?;
        let raw = folder.join("disk.raw");
        self.convert("raw", &raw, &folder.join(DISK))?;
        Ok(files::remove(&raw)?)
    }

    /// Takes over the user's disk.
    fn import(&self, image: &Image, file: &ImageFile, folder: &Path) -> Result<(), ImageError> {
        let unfit = |lacks| ImageError::Unfit {
            image: image.to_string(),
            lacks,
        };
        let (source, _) = self.shared.fetch(image, file, folder)?;
        self.progress.say(&format!("taking over {image}"));
        let info = self.info(&source)?;
        if !["raw", "qcow2"].contains(&info.format.as_str()) {
            return Err(unfit("disk in the format qcow2 or raw"));
        }
        let data = info.format_specific.and_then(|specific| specific.data);
        let elsewhere = data.and_then(|data| data.data_file);
        if info.backing_filename.is_some() || elsewhere.is_some() {
            return Err(unfit("disk that stands alone"));
        }
        let disk = folder.join(DISK);
        self.convert(&info.format, &source, &disk)?;
        if file.path.is_none() {
            files::remove(&source)?;
        }
        if self.boots(&disk, folder)? {
            Ok(())
        } else {
            Err(unfit("boot loader for a BIOS"))
        }
    }

    /// Returns whether a BIOS would boot a disk; an archive or a file system would not.
    fn boots(&self, disk: &Path, folder: &Path) -> Result<bool, ImageError> {
        let sector = folder.join("sector");
        let args = ["dd", "-f", "qcow2", "-O", "raw", "bs=512", "count=1"].map(str::to_owned);
        let files = [
            format!("if={}", disk.display()),
            format!("of={}", sector.display()),
        ];
        self.tools
            .run(Tool::QemuImg, args.into_iter().chain(files))?;
        let bytes = fs::read(&sector).map_err(doing("read", &sector))?;
        files::remove(&sector)?;
        Ok(bytes.get(510..512) == Some(&[0x55, 0xaa]))
    }

    fn convert(&self, format: &str, from: &Path, to: &Path) -> Result<(), ImageError> {
        let args = ["convert", "-q", "-f", format, "-O", "qcow2"].map(OsString::from);
        self.tools.run(
            Tool::QemuImg,
            args.into_iter().chain([from.into(), to.into()]),
        )?;
        Ok(())
    }

    fn info(&self, disk: &Path) -> Result<Info, ImageError> {
        let args = ["info", "--output=json"].map(OsString::from);
        let told = self
            .tools
            .run(Tool::QemuImg, args.into_iter().chain([disk.into()]))?;
        let info = serde_json::from_str(&told).map_err(std::io::Error::other);
        Ok(info.map_err(doing("understand `qemu-img info` of", disk))?)
    }
}

/// Returns what building an image needs and this computer lacks.
pub(super) fn build_tools() -> Vec<Tool> {
    let more: &[Tool] = if is_root() { &BUILD_ROOT } else { &BUILD_USER };
    BUILD.iter().chain(more).copied().collect()
}

fn require_build() -> Result<(), VmError> {
    let tools: Vec<Tool> = build_tools()
        .into_iter()
        .filter(|tool| tool.find().is_none())
        .collect();
    if !tools.is_empty() {
        return Err(VmError::Lacks { tools });
    }
    if is_root() {
        return Ok(());
    }
    let user = user();
    for (what, file) in ID_RANGES {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !has_range(&text, &user, Uid::effective()) {
            return Err(VmError::NoIds { user, what, file });
        }
    }
    Ok(())
}

/// Returns the name of the user, or the number of one who has no name.
pub(super) fn user() -> String {
    let uid = Uid::effective();
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    }
}

/// Returns whether a user has a range of ids that is large enough for a system.
pub(super) fn has_range(text: &str, user: &str, uid: Uid) -> bool {
    const LEAST: u64 = 65_536;
    text.lines()
        .any(|line| match line.split(':').collect::<Vec<_>>()[..] {
            [owner, _, count] => {
                (owner == user || owner == uid.to_string())
                    && count
                        .trim()
                        .parse::<u64>()
                        .is_ok_and(|count| count >= LEAST)
            }
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(folder: &Path) -> Images {
        Images::new(folder, Tools::default(), Progress::silent())
    }

    /// Makes an image of a file, and returns its size or what is wrong.
    fn import(folder: &Path, path: &Path) -> Result<Size, String> {
        let sha256 = crate::digest::copy(&mut fs::File::open(path).unwrap(), &mut std::io::sink());
        let file = ImageFile {
            path: Some(path.to_owned()),
            url: None,
            sha256: sha256.unwrap(),
        };
        let images = images(folder);
        let id = images
            .make(&Image::File(file))
            .map_err(|error| error.to_string())?;
        assert!(images.kernel(&id).is_none());
        images.size(&id).map_err(|error| error.to_string())
    }

    #[test]
    fn only_disks_that_boot_alone_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk.raw");
        let mut bytes = vec![0; 1 << 20];
        fs::write(&disk, &bytes).unwrap();
        let error = import(folder.path(), &disk).unwrap_err();
        assert!(error.ends_with("has no boot loader for a BIOS"), "{error}");
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        fs::write(&disk, &bytes).unwrap();
        assert_eq!(import(folder.path(), &disk), Ok(Size::mib(1)));

        let tools = Tools::default();
        let overlay = folder.path().join("overlay.qcow2");
        let args = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
        let args = args.map(OsString::from).into_iter();
        let args = args.chain([disk.clone().into(), overlay.clone().into()]);
        tools.run(Tool::QemuImg, args).unwrap();
        let error = import(folder.path(), &overlay).unwrap_err();
        assert!(error.ends_with("has no disk that stands alone"), "{error}");

        let alone = folder.path().join("alone.qcow2");
        images(folder.path()).convert("raw", &disk, &alone).unwrap();
        assert_eq!(import(folder.path(), &alone), Ok(Size::mib(1)));
        let kept = fs::read_dir(folder.path().join("images")).unwrap();
        let ids = kept.filter(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(ids.count(), 2, "failures leave nothing");
    }

    #[test]
    fn ranges_are_found_by_name_and_number() {
        let text = "root:0:10\nann:100000:65536\n1001:165536:65536\nbob:1:9\n";
        for (user, uid, expected) in [
            ("ann", 7, true),
            ("carl", 1001, true),
            ("bob", 7, false),
            ("an", 7, false),
        ] {
            assert_eq!(
                has_range(text, user, Uid::from_raw(uid)),
                expected,
                "{user}"
            );
        }
    }
}
