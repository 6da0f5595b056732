//! The rules by which Kubernetes and Istio take labels, annotations and other names.

use std::collections::BTreeMap;

use super::Checker;

/// Kubernetes' bound on the name part of a label's key, and on its value.
const LONGEST_LABEL: usize = 63;

/// Kubernetes' bound on the prefix of a label's key, a DNS name.
const LONGEST_PREFIX: usize = 253;

/// Istio's bound on the labels, and on the annotations, of a workload, in its CRDs.
const MOST_LABELS: usize = 256;

/// Kubernetes' bound on all keys and values of an object's annotations, in bytes
/// (`TotalAnnotationSizeLimitB` of `k8s.io/apimachinery`).
const MOST_ANNOTATIONS: usize = 256 << 10;

/// How the key of a label or annotation is written.
const KEY_HINT: &str = "write a name as app, or a domain and a name as example.com/app";

/// Checks labels by the rules of Kubernetes; `at` is where they are.
pub(super) fn check_labels(
    at: &[&str],
    labels: &BTreeMap<String, String>,
    checker: &mut Checker<'_>,
) {
    check_number(at, labels.len(), "labels", checker);
    for (key, value) in labels {
        let path = [at, &[key]].concat();
        if !is_label_key(key) {
            let summary = format!("`{key}` cannot be the key of a Kubernetes label");
            checker.key_error(&path, summary, KEY_HINT);
        }
        if !value.is_empty() && !is_label_name(value) {
            let summary = format!("`{value}` cannot be the value of a Kubernetes label");
            let hint = "write at most 63 letters, digits, -, _ and ., \
                        beginning and ending with a letter or digit";
            checker.error(&path, summary, hint);
        }
    }
}

/// Checks annotations by the rules of Kubernetes; `at` is where they are.
pub(super) fn check_annotations(
    at: &[&str],
    annotations: &BTreeMap<String, String>,
    checker: &mut Checker<'_>,
) {
    check_number(at, annotations.len(), "annotations", checker);
    for key in annotations.keys() {
        // Kubernetes does not mind the case of an annotation's domain, as it does a label's.
        if !is_label_key(&key.to_ascii_lowercase()) {
            let summary = format!("`{key}` cannot be the key of a Kubernetes annotation");
            checker.key_error(&[at, &[key]].concat(), summary, KEY_HINT);
        }
    }
    let bytes: usize = annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if bytes > MOST_ANNOTATIONS {
        let summary = format!("annotations of {bytes} bytes are too many");
        let hint = format!("Kubernetes takes at most {MOST_ANNOTATIONS}");
        checker.key_error(at, summary, hint);
    }
}

fn check_number(at: &[&str], number: usize, what: &str, checker: &mut Checker<'_>) {
    if number > MOST_LABELS {
        let summary = format!("{number} {what} are too many");
        let hint = format!("Istio takes at most {MOST_LABELS}");
        checker.key_error(at, summary, hint);
    }
}

/// Checks the name of a network: namespaces and workloads carry it as the value of the label
/// `topology.istio.io/network` (<https://istio.io/latest/docs/reference/config/labels/>).
pub(super) fn check_network(at: &[&str], network: &str, checker: &mut Checker<'_>) {
    if !is_label_name(network) {
        let summary = format!("`{network}` cannot be the name of a network");
        let hint = "write 1 to 63 letters, digits, -, _ and ., beginning and ending with a letter \
                    or digit; a label carries it";
        checker.error(at, summary, hint);
    }
}

/// Returns whether a text can be the name of a Service's target port (`IsValidPortName` of
/// `k8s.io/apimachinery`, RFC 6335).
pub(super) fn is_target_port(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= 15
        && text.chars().all(inner)
        && text.contains(|c: char| c.is_ascii_lowercase())
        && has_plain_ends(text)
        && !text.contains("--")
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_label_name(name),
        None => is_label_name(key),
    }
}

fn is_label_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.len() <= LONGEST_LABEL && text.chars().all(inner) && has_plain_ends(text)
}

fn is_subdomain(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= LONGEST_PREFIX
        && text
            .split('.')
            .all(|label| label.chars().all(inner) && has_plain_ends(label))
}

/// Returns whether a text begins and ends with a letter or digit.
pub(super) fn has_plain_ends(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}
