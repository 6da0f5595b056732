//! Checks of what the machines themselves are given: labels, files, the rollout.

use std::collections::BTreeMap;

use crate::diag::Code;
use crate::spec::model::{Bootstrap, File, Rollout};
use crate::spec::scalars::Amount;

use super::Checker;

/// The beginning of all labels that are meshvm's own.
const OWN_LABELS: &str = "meshvm-";

/// What the strictest cloud allows in a key or value of a label (Google's).
const LONGEST_LABEL: usize = 63;

/// Checks the labels that the user puts on the machines.
pub(super) fn labels(fleet: &str, labels: &BTreeMap<String, String>, checker: &mut Checker<'_>) {
    for (key, value) in labels {
        let path = ["fleets", fleet, "labels", key];
        if key.starts_with(OWN_LABELS) {
            let summary = format!("the label `{key}` begins with `{OWN_LABELS}`");
            let hint = "those are meshvm's own: it knows its machines by them";
            checker.key_error(&path, summary, hint);
        } else if !key.starts_with(|c: char| c.is_ascii_lowercase()) || !is_cloud_label(key) {
            let summary = format!("`{key}` cannot be the key of a machine's label");
            let hint = "write 1 to 63 of a-z, 0-9, _ and -, beginning with a letter";
            checker.key_error(&path, summary, hint);
        }
        if !is_cloud_label(value) {
            let summary = format!("`{value}` cannot be the value of a machine's label");
            let hint = "write at most 63 of a-z, 0-9, _ and -";
            checker.error(&path, summary, hint);
        }
    }
}

fn is_cloud_label(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    text.len() <= LONGEST_LABEL && text.chars().all(allowed)
}

/// Checks what is put on the machines.
pub(super) fn bootstrap(fleet: &str, bootstrap: &Bootstrap, checker: &mut Checker<'_>) {
    let Bootstrap {
        packages: _,
        files,
        run: _,
        template: _,
    } = bootstrap;
    let mut first: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let File {
            path,
            mode: _,
            owner: _,
            content: _,
        } = file;
        let index = index.to_string();
        let place = ["fleets", fleet, "bootstrap", "files", &index, "path"];
        let steps: Vec<&str> = path
            .split('/')
            .filter(|step| !matches!(*step, "" | "."))
            .collect();
        if steps.contains(&"..") {
            let summary = format!("the path `{path}` goes up with `..`");
            checker.error(&place, summary, "write where the file is in the end");
        } else if !path.starts_with('/') || path.ends_with('/') || steps.is_empty() {
            let summary = format!("`{path}` is not the path of a file");
            checker.error(&place, summary, "write an absolute path, as /etc/motd");
        } else if let Some(first) = first.get(&steps) {
            let summary = format!("the file `{path}` is written twice");
            let mut checker = checker.coded(Code::Disagreement);
            checker.error(&place, summary, format!("the first is at {first}"));
        } else {
            let here = checker.named_place(&place);
            first.insert(steps, here);
        }
    }
}

/// Checks that a rollout can begin.
pub(super) fn rollout(fleet: &str, rollout: &Rollout, checker: &mut Checker<'_>) {
    let Rollout {
        max_surge,
        max_unavailable,
        min_ready: _,
        ready_timeout: _,
        drain: _,
    } = rollout;
    let none = |amount: Amount| matches!(amount, Amount::Count(0) | Amount::Percent(0));
    let no_surge = max_surge.is_some_and(none);
    // Absent, it is 0.
    let none_unavailable = max_unavailable.is_none_or(none);
    if no_surge && none_unavailable {
        let path = ["fleets", fleet, "rollout", "maxSurge"];
        let summary = "with `maxSurge` and `maxUnavailable` both 0 no machine can be replaced";
        let hint = "allow one of them at least 1";
        checker
            .coded(Code::Disagreement)
            .error(&path, summary.to_owned(), hint);
    }
}
