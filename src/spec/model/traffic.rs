//! How clients in the mesh treat a fleet's Service, as the fleet file writes it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::scalars::{Duration, KubeName};

/// How clients treat the fleet's Service, of the fleet's name: a VirtualService for time-outs,
/// retries and faults, a DestinationRule for subsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traffic {
    /// How long a request may take. For HTTP and gRPC.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// How failed requests are tried again. For HTTP and gRPC.
    #[serde(default)]
    pub retries: Option<Retries>,
    /// Faults to inject, to see how clients cope. For HTTP and gRPC.
    #[serde(default)]
    pub fault: Option<Fault>,
    /// Named parts of the Service, by the labels of their machines.
    #[serde(default)]
    pub subsets: BTreeMap<KubeName, BTreeMap<String, String>>,
}

/// How failed requests are tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retries {
    /// How often.
    #[schemars(range(max = 2_147_483_647))]
    pub attempts: u32,
    /// How long each try may take.
    #[serde(default)]
    pub per_try_timeout: Option<Duration>,
    /// What counts as failed, as Envoy names it: for example "5xx,reset,connect-failure".
    #[serde(default)]
    pub retry_on: Option<String>,
}

/// Faults to inject.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Requests that wait.
    #[serde(default)]
    pub delay: Option<Delay>,
    /// Requests that fail.
    #[serde(default)]
    pub abort: Option<Abort>,
}

/// Requests that wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delay {
    /// How long.
    pub fixed_delay: Duration,
    /// How many of a hundred; all when absent.
    #[serde(default)]
    pub percentage: Percentage,
}

/// Requests that fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Abort {
    /// The HTTP status that they are answered with.
    #[schemars(range(min = 200, max = 599))]
    pub http_status: u16,
    /// How many of a hundred; all when absent.
    #[serde(default)]
    pub percentage: Percentage,
}

/// How many of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Percentage(#[schemars(range(min = 0, max = 100))] pub u8);

impl Default for Percentage {
    fn default() -> Self {
        Self(100)
    }
}
