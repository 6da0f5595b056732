//! Two providers that exist only for these tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meshvm_provider_api::{
    Difference, ErrorClass, Finding, Info, Kind, Machine, OpenContext, Provider, ProviderError,
    Scope, Template, UserDataRules, template::flatten,
};
use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The provider `sim`, with all that a block can have.
pub(super) struct Sim;

/// The provider `other`, whose block has no required field.
pub(super) struct Other;

/// A machine of the simulator.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    /// The zones to spread over.
    #[serde(default = "default_zones")]
    zones: Vec<String>,
    /// The image to boot.
    image: String,
    /// The memory, such as 512MiB.
    #[serde(default)]
    #[schemars(regex(pattern = "^[0-9]+(MiB|GiB)$"))]
    memory: Option<String>,
    /// The disk.
    #[serde(default)]
    disk: Option<Disk>,
    /// Where a copy of the image comes from.
    #[serde(default)]
    from: Option<Origin>,
}

/// A disk.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Disk {
    /// The size in GiB.
    size: u32,
    /// What it is made of.
    #[serde(default)]
    kind: DiskKind,
}

/// What a disk is made of.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum DiskKind {
    #[default]
    Ssd,
    Rust,
}

/// Where an image comes from.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Origin {
    /// It is there.
    None,
    /// A store.
    Store {
        /// Its address.
        url: String,
    },
    /// A folder.
    Folder {
        /// Its path.
        path: String,
    },
}

fn default_zones() -> Vec<String> {
    vec!["z1".to_owned()]
}

/// A block without required fields.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OtherSettings {
    /// Which program runs the machines.
    #[serde(default)]
    backend: Option<String>,
    /// The image.
    #[serde(default)]
    image: Option<String>,
    /// The memory.
    #[serde(default)]
    memory: Option<String>,
    /// The processors.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64))]
    cpus: Option<u16>,
}

const fn info(name: &'static str, schema: fn() -> Schema) -> Info {
    Info {
        name,
        summary: "machines for tests",
        schema,
        user_data: UserDataRules {
            limit: 16384,
            gzip: true,
        },
        max_batch: 10,
        listing_lag: Duration::ZERO,
        poll: Duration::ZERO,
        polls: 1,
        private_files: false,
        rate: None,
        resolves: false,
        global_ids: true,
    }
}

static SIM: Info = info("sim", || schema_for!(Settings));
static OTHER: Info = info("other", || schema_for!(OtherSettings));

fn make(provider: &str, zones: Vec<String>, settings: &Value, base_dir: &Path) -> Template {
    let key = [("dir", Some(base_dir.display().to_string()))];
    Template {
        scope: Scope::new(provider, key, []),
        zones,
        settings: settings.clone(),
        attributes: flatten(settings),
    }
}

fn refused() -> ProviderError {
    ProviderError::new(ErrorClass::Environment, "exists only for tests")
}

#[async_trait]
impl Kind for Sim {
    fn info(&self) -> &'static Info {
        &SIM
    }

    fn template(&self, settings: &Value, base_dir: &Path) -> Result<Template, Vec<Finding>> {
        let block: Settings = serde_json::from_value(settings.clone())
            .map_err(|error| vec![Finding::at("", error.to_string())])?;
        let mut findings = Vec::new();
        for (index, zone) in block.zones.iter().enumerate() {
            if !zone.starts_with('z') {
                let message = format!("there is no zone `{zone}`");
                let path = format!("zones.{index}");
                findings.push(Finding::at(&path, message).with_hint("zones begin with z"));
            }
        }
        if block.image == "none" {
            findings.push(Finding::at("image", "there is no such image"));
        }
        match findings.is_empty() {
            true => Ok(make("sim", block.zones, settings, base_dir)),
            false => Err(findings),
        }
    }

    fn compare(&self, _: &Template, _: &Machine) -> Vec<Difference> {
        Vec::new()
    }

    async fn open(
        &self,
        _: Option<&Template>,
        _: &Scope,
        _: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        Err(refused())
    }
}

#[async_trait]
impl Kind for Other {
    fn info(&self) -> &'static Info {
        &OTHER
    }

    fn template(&self, settings: &Value, base_dir: &Path) -> Result<Template, Vec<Finding>> {
        Ok(make("other", vec!["here".to_owned()], settings, base_dir))
    }

    fn compare(&self, _: &Template, _: &Machine) -> Vec<Difference> {
        Vec::new()
    }

    async fn open(
        &self,
        _: Option<&Template>,
        _: &Scope,
        _: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        Err(refused())
    }
}
