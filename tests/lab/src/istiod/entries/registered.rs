//! What a node's own entry is called, and what is in it. Pure.

use meshvm_lab_agent::wire::Node;
use serde_json::{Value, json};

use crate::istiod::model::GroupSpec;

/// The longest name that an object may have.
const LONGEST_NAME: usize = 253;

/// `<group>-<address>[-<network>]`, its end when that is too long.
pub(super) fn registered_name(node: &Node) -> String {
    let address = node.addresses.first().map_or("", String::as_str);
    let mut name = format!("{}-{address}", node.auto_register_group);
    if !node.network.is_empty() {
        name = format!("{name}-{}", node.network);
    }
    let name = name.replace(':', "-");
    let cut = name.len().saturating_sub(LONGEST_NAME);
    name.chars().skip(cut).collect()
}

/// The template, with what the node says of itself.
pub(super) fn registered_spec(node: &Node, group: GroupSpec) -> Value {
    let mut template = group.template;
    template.labels.extend(group.metadata.labels);
    template.labels.extend(node.labels.clone());
    let or = |said: &str, template: String| {
        if said.is_empty() {
            template
        } else {
            said.to_owned()
        }
    };
    let mut spec = json!({
        "address": node.addresses.first(),
        "labels": template.labels,
    });
    let texts = [
        ("network", or(&node.network, template.network)),
        ("locality", or(&node.locality, template.locality)),
        ("serviceAccount", template.service_account),
    ];
    for (key, text) in texts {
        if !text.is_empty() {
            spec[key] = json!(text);
        }
    }
    if !template.ports.is_empty() {
        spec["ports"] = json!(template.ports);
    }
    if template.weight != 0 {
        spec["weight"] = json!(template.weight);
    }
    spec
}
