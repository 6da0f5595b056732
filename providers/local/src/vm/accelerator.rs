//! Whether machines run on the real processor or an emulated one.
//!
//! A `/dev/kvm` that opens is no proof: where this computer is itself a virtual
//! machine, KVM may answer every question and then run a guest's kernel slower
//! than emulation, by orders. So a few milliseconds of guest code are timed,
//! once in the life of this computer's kernel.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use meshvm_provider_api::Progress;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError, doing};
use crate::settings::AcceleratorChoice;
use crate::tools::{PATH, Tool, ToolError};

/// What runs the code of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Accelerator {
    /// The processor of this computer.
    Kvm,
    /// QEMU's emulation of one, ten times slower or more.
    Tcg,
}

impl Accelerator {
    /// Returns the value of QEMU's option.
    pub fn option(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }
}

/// An accelerator, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Choice {
    pub accelerator: Accelerator,
    pub why: String,
}

/// What was found out, and for how long it holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Known {
    boot: String,
    user: u32,
    choice: Choice,
}

/// Chooses accelerators for the machines of a data folder.
pub(super) struct Accelerators {
    cache: PathBuf,
    progress: Progress,
    told: Mutex<Option<Choice>>,
}

const DEVICE: &str = "/dev/kvm";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How long KVM may take for [`LOOPS`], QEMU's start included; emulation takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(1);
const LOOPS: u32 = 10_000_000;
/// The wait between two looks at the probe.
const LOOK: Duration = Duration::from_millis(2);
/// The exit code of QEMU when a guest writes 16 to the debug port: twice that, and one.
const PASSED: i32 = 33;

impl Accelerators {
    pub fn new(data_dir: &Path, progress: Progress) -> Self {
        Self {
            // Beside the images: like them it may be deleted, and costs a moment then.
            cache: data_dir.join("images").join("accelerator.json"),
            progress,
            told: Mutex::new(None),
        }
    }

    /// Chooses, and tells once what and why.
    pub fn choose(&self, wanted: AcceleratorChoice) -> Result<Choice, ToolError> {
        // Held meanwhile: probes of several machines at once would slow each other down.
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let forced = |accelerator| Choice {
            accelerator,
            why: "the fleet file says so".to_owned(),
        };
        let choice = match wanted {
            AcceleratorChoice::Kvm => forced(Accelerator::Kvm),
            AcceleratorChoice::Tcg => forced(Accelerator::Tcg),
            AcceleratorChoice::Auto => self.find_out()?,
        };
        if told.as_ref() != Some(&choice) {
            let Choice { accelerator, why } = &choice;
            let name = match accelerator {
                Accelerator::Kvm => "kvm",
                Accelerator::Tcg => "tcg (emulation)",
            };
            self.progress.say(&format!("accelerator {name}: {why}"));
            *told = Some(choice.clone());
        }
        Ok(choice)
    }

    /// Returns what is best here, and remembers it until this computer starts again.
    fn find_out(&self) -> Result<Choice, ToolError> {
        if let Some(choice) = without_device() {
            // Cheap to find out, and soon mended: not worth remembering.
            return Ok(choice);
        }
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let boot = boot.trim().to_owned();
        let user = Uid::effective().as_raw();
        let known = files::read(&self.cache).ok().flatten();
        let known = known.and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
        if let Some(known) = known
            && known.boot == boot
            && known.user == user
        {
            return Ok(known.choice);
        }
        let choice = probe()?;
        let known = Known {
            boot,
            user,
            choice: choice.clone(),
        };
        // It is only remembered for speed.
        let _ = self.remember(&known);
        Ok(choice)
    }

    fn remember(&self, known: &Known) -> Result<(), FileError> {
        if let Some(folder) = self.cache.parent() {
            fs::create_dir_all(folder).map_err(doing("create", folder))?;
        }
        let bytes = serde_json::to_vec(known)
            .map_err(|error| doing("write", &self.cache)(io::Error::other(error)))?;
        files::write(&self.cache, &bytes, 0o644)
    }
}

/// Finds out what is best here, without remembering it.
pub(super) fn look() -> Result<Choice, ToolError> {
    match without_device() {
        Some(choice) => Ok(choice),
        None => probe(),
    }
}

/// Returns the choice where there is no KVM to be tried; `None` where there is.
fn without_device() -> Option<Choice> {
    let error = File::options().read(true).write(true).open(DEVICE).err()?;
    let mut why = format!("{DEVICE} cannot be opened: {error}");
    if error.kind() == io::ErrorKind::PermissionDenied {
        why += " (being in its group may help, as with `usermod -aG kvm USER`)";
    }
    Some(Choice {
        accelerator: Accelerator::Tcg,
        why,
    })
}

/// Times a guest under KVM.
fn probe() -> Result<Choice, ToolError> {
    let (took, ended) = run(Accelerator::Kvm, LIMIT)?;
    let tcg = |why: String| Choice {
        accelerator: Accelerator::Tcg,
        why,
    };
    Ok(match ended {
        Some((PASSED, _)) => Choice {
            accelerator: Accelerator::Kvm,
            why: format!("a timed probe of {DEVICE} took {} ms", took.as_millis()),
        },
        Some((code, said)) => tcg(format!("a probe of {DEVICE} failed ({code}): {said}")),
        None => tcg(format!(
            "a timed probe of {DEVICE} did not end within {} ms, so it is no hardware virtualization",
            LIMIT.as_millis()
        )),
    })
}

/// Runs the probe; returns how long it took, and how it ended if it did within the limit.
fn run(
    accelerator: Accelerator,
    limit: Duration,
) -> Result<(Duration, Option<(i32, String)>), ToolError> {
    let qemu = Tool::QemuSystem.require()?;
    let failed = |source| ToolError::Run {
        command: format!(
            "{} -accel {}",
            Tool::QemuSystem.program(),
            accelerator.option()
        ),
        source,
    };
    let firmware = memfd_create(c"probe", MFdFlags::MFD_CLOEXEC)
        .map(File::from)
        .map_err(|errno| failed(errno.into()))?;
    (&firmware).write_all(&code()).map_err(failed)?;
    let begun = Instant::now();
    let mut child = Command::new(qemu)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args([
            "-M",
            "q35",
            "-cpu",
            "max",
            "-m",
            "64",
            "-accel",
            accelerator.option(),
        ])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .args(["-bios", "/dev/stdin"])
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(firmware)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    while child.try_wait().map_err(failed)?.is_none() {
        if begun.elapsed() > limit {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Ok((begun.elapsed(), None));
        }
        thread::sleep(LOOK);
    }
    let took = begun.elapsed();
    let output = child.wait_with_output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((took, Some((output.status.code().unwrap_or(-1), said))))
}

/// Makes a BIOS that counts down and ends QEMU: the last 64 KiB below 4 GiB, in real mode.
fn code() -> Vec<u8> {
    const SIZE: usize = 1 << 16;
    const BEGIN: usize = 0xff00;
    const RESET: usize = 0xfff0;
    let [a, b, c, d] = LOOPS.to_le_bytes();
    let count_down: [u8; 20] = [
        0x66, 0xb9, a, b, c, d, // mov ecx, LOOPS
        0x66, 0x49, // dec ecx
        0x75, 0xfc, // jnz back to it
        0xba, 0xf4, 0x00, // mov dx, 0xf4
        0xb0, 0x10, // mov al, 16
        0xee, // out dx, al
        0xfa, 0xf4, // cli; hlt
        0xeb, 0xfd, // jmp back to hlt
    ];
    // Where a processor begins: jmp to BEGIN.
    let reset: [u8; 3] = [0xe9, 0x0d, 0xff];
    let mut bytes = vec![0xf4; SIZE];
    for (place, code) in [(BEGIN, count_down.as_slice()), (RESET, &reset)] {
        for (at, byte) in bytes.iter_mut().skip(place).zip(code) {
            *at = *byte;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_the_one_that_was_tried() {
        let bytes = code();
        let hex = |at: usize, length: usize| -> String {
            bytes[at..at + length]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect()
        };
        assert_eq!(bytes.len(), 1 << 16);
        assert_eq!(hex(0xff00, 20), "66b980969800664975fcbaf400b010eefaf4ebfd");
        assert_eq!(hex(0xfff0, 3), "e90dff");
    }

    #[test]
    fn what_is_known_of_another_boot_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let accelerators = Accelerators::new(folder.path(), Progress::silent());
        let choice = Choice {
            accelerator: Accelerator::Kvm,
            why: "remembered".to_owned(),
        };
        let known = Known {
            boot: "another".to_owned(),
            user: Uid::effective().as_raw(),
            choice,
        };
        accelerators.remember(&known).unwrap();
        let found = accelerators.find_out().unwrap();
        assert_ne!(found.why, "remembered");
        // What the user says needs no probe.
        let forced = accelerators.choose(AcceleratorChoice::Kvm).unwrap();
        assert_eq!(forced.accelerator, Accelerator::Kvm);
    }

    #[test]
    fn emulation_passes_its_own_probe() {
        let (_, ended) = run(Accelerator::Tcg, LIMIT * 60).unwrap();
        assert_eq!(ended, Some((PASSED, String::new())));
    }
}
