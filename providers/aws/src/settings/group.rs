//! A security group of the fleet's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A security group beside those that the file names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecurityGroup {
    /// Makes one for the fleet, which goes with its last machine; changes in place.
    pub owned: OwnedGroup,
}

/// What a fleet's own group lets in; out, it lets everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OwnedGroup {
    /// The TCP ports; those of the fleet's `membership` when absent.
    #[serde(default)]
    #[schemars(
        length(min = 1, max = 60),
        inner(range(min = 1)),
        extend("uniqueItems" = true)
    )]
    pub ports: Vec<u16>,
    /// Who may reach them: networks such as `10.0.0.0/16`, and security groups.
    #[schemars(
        length(min = 1, max = 60),
        inner(regex(pattern = "^sg-|/[0-9]+$")),
        extend("uniqueItems" = true)
    )]
    pub from: Vec<String>,
}
