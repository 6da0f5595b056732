//! What this computer lacks for virtual machines.

use std::env::consts;
use std::fs;
use std::path::Path;

use nix::unistd::Uid;

use super::accelerator::{self, Accelerator};
use super::images::{ID_RANGES, build_tools, has_range, user};
use super::run_tools;
use crate::container::{KEYRING, is_root};
use crate::doctor::Check;
use crate::settings::BackendKind;
use crate::tools::Tool;

/// Looks at what this computer has for virtual machines.
///
/// Nothing is changed; a probe of a second at most tells whether their code
/// runs on the real processor.
pub(crate) fn checks() -> Vec<Check> {
    let mut checks = vec![architecture()];
    checks.extend(run_tools().into_iter().chain(build_tools()).map(installed));
    checks.push(keyring());
    if !is_root() {
        checks.extend(ID_RANGES.map(|(what, file)| ids(what, file)));
    }
    if Tool::QemuSystem.find().is_some() {
        checks.push(accelerator());
    }
    checks
}

fn check(name: &str, ok: bool, detail: impl Into<String>, fix: impl Into<String>) -> Check {
    Check {
        backend: BackendKind::Vm,
        name: name.to_owned(),
        ok,
        detail: detail.into(),
        fix: (!ok).then(|| fix.into()),
    }
}

fn architecture() -> Check {
    let ok = consts::ARCH == "x86_64";
    Check {
        backend: BackendKind::Vm,
        name: "architecture".to_owned(),
        ok,
        detail: if ok {
            consts::ARCH.to_owned()
        } else {
            format!(
                "virtual machines need an x86-64 computer, and this one is {}",
                consts::ARCH
            )
        },
        // No command mends it: what would run another architecture is not supported.
        fix: None,
    }
}

fn installed(tool: Tool) -> Check {
    let found = tool.find();
    let detail = match &found {
        Some(path) => path.display().to_string(),
        None => "not installed".to_owned(),
    };
    check(tool.program(), found.is_some(), detail, tool.install())
}

fn keyring() -> Check {
    let ok = Path::new(KEYRING).exists();
    let detail = if ok {
        KEYRING
    } else {
        "the keys of Debian's archive are missing"
    };
    let fix = "apt-get install --no-install-recommends debian-archive-keyring";
    check("debian-archive-keyring", ok, detail, fix)
}

fn ids(what: &str, file: &str) -> Check {
    let user = user();
    let text = fs::read_to_string(file).unwrap_or_default();
    let ok = has_range(&text, &user, Uid::effective());
    let detail = if ok {
        format!("{user} has a range in {file}")
    } else {
        format!(
            "{user} has no range of 65536 in {file}, which building an image without root takes"
        )
    };
    let fix = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}");
    check(&format!("subordinate {what}"), ok, detail, fix)
}

/// Tells which accelerator machines get: emulation is slow, and nothing is wrong with it.
fn accelerator() -> Check {
    let (ok, detail) = match accelerator::look() {
        Ok(choice) => match choice.accelerator {
            Accelerator::Kvm => (true, format!("kvm: {}", choice.why)),
            Accelerator::Tcg => (
                true,
                format!(
                    "tcg, so machines are emulated and boot slowly: {}",
                    choice.why
                ),
            ),
        },
        Err(error) => (false, error.to_string()),
    };
    check("accelerator", ok, detail, Tool::QemuSystem.install())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_looked_at() {
        let checks = checks();
        for check in &checks {
            assert!(
                !check.detail.is_empty() && check.fix.is_none() == check.ok,
                "{check:?}"
            );
        }
        for name in [
            "qemu-system-x86_64",
            "qemu-img",
            "mmdebstrap",
            "accelerator",
        ] {
            assert_eq!(
                checks.iter().filter(|check| check.name == name).count(),
                1,
                "{name}"
            );
        }
    }
}
