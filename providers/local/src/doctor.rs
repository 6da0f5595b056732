//! What this computer lacks for real machines, as data.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::container::{BUILD_TOOLS, KEYRING, Layout, TOOLS, is_root};
use crate::settings::BackendKind;
use crate::tools::Tool;
use crate::vm;

/// One thing that machines of a backend need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The backend that needs it.
    pub backend: BackendKind,
    /// What it is.
    pub name: String,
    /// Whether it is there.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// The command that mends it; absent when nothing is to be mended, or no command does.
    pub fix: Option<String>,
}

impl Check {
    fn container(name: &str, ok: bool, detail: impl Into<String>) -> Self {
        Self {
            backend: BackendKind::Container,
            name: name.to_owned(),
            ok,
            detail: detail.into(),
            fix: None,
        }
    }

    /// Adds the command that mends it, if it is to be mended.
    fn fixed_by(mut self, fix: impl Into<String>) -> Self {
        if !self.ok {
            self.fix = Some(fix.into());
        }
        self
    }
}

/// Looks at what this computer has, for each backend; nothing is changed, and it takes a second at most.
pub fn doctor() -> Vec<Check> {
    let mut checks = vec![root()];
    checks.extend(TOOLS.into_iter().chain(BUILD_TOOLS).map(installed));
    checks.push(keyring());
    checks.push(overlay());
    checks.extend(cgroups());
    checks.extend(vm::checks());
    checks
}

fn root() -> Check {
    let ok = is_root();
    let detail = if ok {
        "this is root"
    } else {
        "containers need root"
    };
    Check::container("root", ok, detail).fixed_by("sudo meshvm …")
}

fn installed(tool: Tool) -> Check {
    match tool.find() {
        Some(path) => Check::container(tool.program(), true, path.display().to_string()),
        None => Check::container(tool.program(), false, "not installed").fixed_by(tool.install()),
    }
}

fn keyring() -> Check {
    let ok = Path::new(KEYRING).exists();
    let detail = if ok {
        KEYRING
    } else {
        "the keys of Debian's archive are missing"
    };
    Check::container("debian-archive-keyring", ok, detail)
        .fixed_by("apt-get install --no-install-recommends debian-archive-keyring")
}

fn overlay() -> Check {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let ok = known
        .lines()
        .any(|line| line.split_whitespace().last() == Some("overlay"));
    let detail = if ok {
        "the kernel has it"
    } else {
        "the kernel has not loaded it; it may do so by itself when it is first needed"
    };
    Check::container("overlay file system", ok, detail).fixed_by("modprobe overlay")
}

fn cgroups() -> Vec<Check> {
    let layout = match Layout::look() {
        Ok(layout) => layout,
        Err(error) => {
            let fix = "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified";
            return vec![Check::container("cgroup2", false, error.to_string()).fixed_by(fix)];
        }
    };
    let unlimited = layout.unlimited();
    let limits = if unlimited.is_empty() {
        "memory and CPU time can be limited".to_owned()
    } else {
        format!("{} cannot be limited here", unlimited.join(" and "))
    };
    let mut checks = vec![
        Check::container("cgroup2", true, "mounted"),
        Check::container("cgroup limits", unlimited.is_empty(), limits),
    ];
    if layout.systemd() {
        checks.extend([Tool::SystemdRun, Tool::Systemctl].map(installed));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_says_how_to_mend_it() {
        let checks = doctor();
        for check in &checks {
            assert!(!check.detail.is_empty(), "{check:?}");
            assert!(check.fix.is_none() || !check.ok, "{check:?}");
        }
        let named = |name: &str| checks.iter().filter(|check| check.name == name).count();
        assert_eq!(
            (named("root"), named("systemd-nspawn"), named("qemu-img")),
            (1, 1, 1)
        );
    }

    #[test]
    fn a_fix_is_only_for_what_is_broken() {
        let whole = Check::container("x", true, "y").fixed_by("z");
        let broken = Check::container("x", false, "y").fixed_by("z");
        assert_eq!((whole.fix, broken.fix.as_deref()), (None, Some("z")));
    }
}
