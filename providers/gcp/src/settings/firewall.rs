//! A firewall rule of the fleet's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A firewall rule beside those that go by the tags that the file names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Firewall {
    /// Makes one for the fleet, which goes with its last machine; changes in place.
    pub owned: OwnedRule,
}

/// What a fleet's own rule lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnedRule {
    /// The TCP ports; those of the fleet's `membership` when absent.
    #[serde(default)]
    #[schemars(
        length(min = 1, max = 60),
        inner(range(min = 1)),
        extend("uniqueItems" = true)
    )]
    pub ports: Vec<u16>,
    /// Who may reach them: networks such as `10.0.0.0/16`, and network tags of machines.
    #[schemars(
        length(min = 1, max = 60),
        inner(regex(pattern = "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$|/[0-9]+$")),
        extend("uniqueItems" = true)
    )]
    pub from: Vec<String>,
}
