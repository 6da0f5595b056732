//! The base images of containers: folders that many overlays stand on.
//!
//! Invariants:
//! 1. An image is made in a folder that nobody looks at, and gets its name when
//!    it is complete and on disk; so an image that has its name and its mark is whole.
//! 2. An image never changes, and is never deleted by this crate.
//! 3. One process at a time makes images of a data folder; others wait for it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use meshvm_provider_api::{Hash, Progress};
use nix::unistd::syncfs;
use serde_json::json;
use uuid::Uuid;

use super::recipe::{CUSTOMIZE, Recipe};
use crate::digest;
use crate::files::{self, FileError, doing};
use crate::image::{Image, ImageFile};
use crate::locks::Lock;
use crate::tools::{Tool, ToolError, Tools};

/// An image could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    /// A file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The recipe cannot be written down.
    #[error("the recipe of the image cannot be written")]
    Recipe {
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is another than the user meant.
    #[error("{image} has SHA-256 {found}, not {wanted}")]
    Differs {
        /// The file.
        image: String,
        /// What it has.
        found: String,
        /// What it should have.
        wanted: String,
    },
    /// There is no such file.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// What was unpacked is no system that boots and takes user-data.
    #[error("{image} has no {lacks}")]
    Unfit {
        /// The image.
        image: String,
        /// What is not in it.
        lacks: &'static str,
    },
}

/// The images of a data folder.
pub(crate) struct Images {
    folder: PathBuf,
    tools: Tools,
    progress: Progress,
}

/// Written into an image last of all.
const MARK: &str = "image.json";
/// The file system of an image.
const ROOT: &str = "rootfs";
/// What the names of unfinished images begin with.
const UNFINISHED: &str = ".new-";
/// How many bytes tell how an archive is packed.
const MAGIC: u64 = 6;

/// What must be in an image: any one of the paths each.
const NEEDED: [(&str, &[&str]); 2] = [
    (
        "systemd",
        &["usr/lib/systemd/systemd", "lib/systemd/systemd"],
    ),
    ("cloud-init", &["usr/bin/cloud-init"]),
];

impl Images {
    pub fn new(data_dir: &Path, tools: Tools, progress: Progress) -> Self {
        Self {
            folder: data_dir.join("images"),
            tools,
            progress,
        }
    }

    /// Returns where the file system of an image is.
    pub fn root(&self, id: &str) -> PathBuf {
        self.folder.join(id).join(ROOT)
    }

    /// Makes an image ready and returns its id; quick when it is.
    pub fn make(&self, image: &Image) -> Result<String, ImageError> {
        match image {
            Image::Debian12 => {
                let config = self.tools.run(Tool::AptConfig, ["dump"])?;
                let recipe = Recipe::debian_12(&config)?;
                let json =
                    serde_json::to_vec(&recipe).map_err(|source| ImageError::Recipe { source })?;
                let id = format!("debian-12-{}-{}", recipe.arch, Hash::of(json));
                self.make_with(&id, image, |folder| {
                    self.build(&recipe, folder)?;
                    self.check(image, &folder.join(ROOT))
                })?;
                Ok(id)
            }
            Image::File(file) => {
                let id = file.sha256.clone();
                self.make_with(&id, image, |folder| {
                    self.unpack(image, file, folder)?;
                    self.check(image, &folder.join(ROOT))
                })?;
                Ok(id)
            }
        }
    }

    /// Makes an image ready under an id, with what `fill` puts into its folder; quick when it is.
    pub fn make_with(
        &self,
        id: &str,
        image: &Image,
        fill: impl Fn(&Path) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let made = self.folder.join(id);
        if made.join(MARK).exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(doing("create", &self.folder))?;
        let _lock = Lock::file(&self.folder.join("lock"), || {
            self.progress
                .say("waiting for another meshvm that is building an image");
        })?;
        if made.join(MARK).exists() {
            return Ok(());
        }
        self.sweep()?;
        let new = self
            .folder
            .join(format!("{UNFINISHED}{}", Uuid::new_v4().simple()));
        files::folder(&new, 0o700)?;
        if let Err(error) = fill(&new) {
            // What stays behind is swept by the next build; the first error says more.
            let _ = files::remove_tree(&new);
            return Err(error);
        }
        let mark = json!({"id": id, "image": image.to_string()}).to_string();
        files::write(&new.join(MARK), mark.as_bytes(), 0o644)?;
        let disk = File::open(&new).map_err(doing("open", &new))?;
        syncfs(&disk).map_err(|errno| doing("sync", &new)(errno.into()))?;
        fs::rename(&new, &made).map_err(doing("name", &made))?;
        files::sync(&self.folder)?;
        Ok(())
    }

    /// Deletes what killed builds left behind; the caller holds the lock.
    fn sweep(&self) -> Result<(), FileError> {
        for entry in fs::read_dir(&self.folder).map_err(doing("list", &self.folder))? {
            let entry = entry.map_err(doing("list", &self.folder))?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                files::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    fn check(&self, image: &Image, root: &Path) -> Result<(), ImageError> {
        let lacking = NEEDED
            .iter()
            .find(|(_, paths)| !paths.iter().any(|path| root.join(path).exists()));
        match lacking {
            None => Ok(()),
            Some((lacks, _)) => Err(ImageError::Unfit {
                image: image.to_string(),
                lacks,
            }),
        }
    }

    /// Builds a Debian image from the archive.
    fn build(&self, recipe: &Recipe, folder: &Path) -> Result<(), ImageError> {
        self.progress
            .say("building the base image debian-12 from Debian's packages, once; it takes half a minute or more");
        let customize = folder.join("customize.sh");
        files::write(&customize, CUSTOMIZE.as_bytes(), 0o755)?;
        // When it is killed, its children and mounts go with it: they are in namespaces of its own.
        let mut args: Vec<OsString> = [
            "--mount",
            "--propagation",
            "slave",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--",
        ]
        .map(OsString::from)
        .into();
        args.push(Tool::Mmdebstrap.require()?.into());
        let arguments = recipe.arguments(&folder.join(ROOT), &customize);
        args.extend(arguments.into_iter().map(OsString::from));
        self.tools.call(Tool::Unshare, args, "", |line| {
            if let Some(line) = line.strip_prefix("I: ") {
                self.progress.say(&format!("base image: {line}"));
            }
        })?;
        Ok(())
    }

    /// Returns where the user's file is, once it is checked, and its first bytes; what is downloaded goes into the folder.
    pub fn fetch(
        &self,
        image: &Image,
        file: &ImageFile,
        folder: &Path,
    ) -> Result<(PathBuf, Vec<u8>), ImageError> {
        let archive = match (&file.path, &file.url) {
            (Some(path), _) => path.clone(),
            (None, url) => {
                let url = url.as_deref().unwrap_or_default();
                self.progress.say(&format!("downloading {url}"));
                let archive = folder.join("archive");
                let args = [
                    "--fail",
                    "--silent",
                    "--show-error",
                    "--location",
                    "--retry",
                    "3",
                    "--proto",
                    "=http,https",
                    "--output",
                ];
                let args = args.map(OsString::from).into_iter();
                let args = args.chain([archive.clone().into(), "--".into(), url.into()]);
                self.tools.run(Tool::Curl, args)?;
                archive
            }
        };
        let (found, begin) = digest_of(&archive)?;
        if found != file.sha256 {
            return Err(ImageError::Differs {
                image: image.to_string(),
                found,
                wanted: file.sha256.clone(),
            });
        }
        Ok((archive, begin))
    }

    /// Unpacks the user's archive.
    fn unpack(&self, image: &Image, file: &ImageFile, folder: &Path) -> Result<(), ImageError> {
        let (archive, begin) = self.fetch(image, file, folder)?;
        if let Some(tool) = unpacker(&begin) {
            tool.require()?;
        }
        self.progress.say(&format!("unpacking {image}"));
        let root = folder.join(ROOT);
        files::folder(&root, 0o755)?;
        let args = ["--extract", "--numeric-owner", "--preserve-permissions"];
        let args = args.map(OsString::from).into_iter().chain([
            "--xattrs".into(),
            "--xattrs-include=*".into(),
            "--file".into(),
            archive.clone().into(),
            "--directory".into(),
            root.into(),
        ]);
        self.tools.run(Tool::Tar, args)?;
        if file.path.is_none() {
            files::remove(&archive)?;
        }
        Ok(())
    }
}

/// Returns the SHA-256 of a file, and its first bytes.
fn digest_of(path: &Path) -> Result<(String, Vec<u8>), ImageError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(ImageError::Missing {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(doing("open", path)(error).into()),
    };
    let mut begin = Vec::new();
    let hash = (&file)
        .take(MAGIC)
        .read_to_end(&mut begin)
        .and_then(|_| file.rewind())
        .and_then(|()| digest::copy(&mut file, &mut io::sink()))
        .map_err(doing("read", path))?;
    Ok((hash, begin))
}

/// Returns the program that tar will run for an archive which begins like this.
fn unpacker(begin: &[u8]) -> Option<Tool> {
    match begin {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Tool::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Tool::Xz),
        // gzip is on every Debian system.
        _ => None,
    }
}
