//! Fleet files for tests, taken through the real front end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use meshvm::desired::{Desired, NamedFiles, expand};
use meshvm::providers;
use meshvm::spec::{self, Inputs, Source};
use meshvm_provider_api::Kind;
use meshvm_provider_sim::{FaultPlan, SimCloud};
use serde_json::{Value, json};

use super::STACK;

/// The name under which the fleets' user-data is named; short, since plans hold it.
const USER_DATA: &str = "user-data.hbs";

/// A fleet of a fleet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    pub replicas: u32,
    pub region: &'static str,
    pub zones: Vec<&'static str>,
    pub image: String,
    pub size: String,
    pub tags: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub surge: u32,
    pub unavailable: u32,
    pub is_member: bool,
}

impl Fleet {
    /// Makes a fleet of so many machines in one zone, members of the mesh, surging by one.
    pub fn of(replicas: u32) -> Self {
        Self {
            replicas,
            region: "sim-1",
            zones: vec!["a"],
            image: "debian-12".to_owned(),
            size: "small".to_owned(),
            tags: BTreeMap::new(),
            labels: BTreeMap::new(),
            surge: 1,
            unavailable: 0,
            is_member: true,
        }
    }

    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    pub fn zones(mut self, zones: &[&'static str]) -> Self {
        self.zones = zones.to_vec();
        self
    }

    /// Sets what only a new machine has.
    pub fn image(mut self, image: &str) -> Self {
        self.image = image.to_owned();
        self
    }

    /// Sets what a machine restarts for.
    pub fn size(mut self, size: &str) -> Self {
        self.size = size.to_owned();
        self
    }

    /// Sets what changes in place.
    pub fn tag(mut self, value: &str) -> Self {
        self.tags.insert("team".to_owned(), value.to_owned());
        self
    }

    pub fn label(mut self, value: &str) -> Self {
        self.labels.insert("tier".to_owned(), value.to_owned());
        self
    }

    pub fn rollout(mut self, surge: u32, unavailable: u32) -> Self {
        (self.surge, self.unavailable) = (surge, unavailable);
        self
    }

    pub fn outside(mut self) -> Self {
        self.is_member = false;
        self
    }

    fn body(&self, name: &str) -> Value {
        let Self {
            replicas,
            region,
            zones,
            image,
            size,
            tags,
            labels,
            surge,
            unavailable,
            is_member,
        } = self;
        let mut body = json!({
            "replicas": replicas,
            "labels": labels,
            "sim": {
                "region": region, "zones": zones, "image": image, "size": size, "tags": tags,
            },
            "rollout": {"maxSurge": surge, "maxUnavailable": unavailable},
            "bootstrap": {"template": USER_DATA},
        });
        if *is_member {
            body["membership"] = json!({
                "namespace": "vm",
                "serviceAccount": "shop",
                "labels": {"app": name},
                "ports": {"http": 9080},
                "service": {"ports": [{"name": "http", "port": 9080}]},
            });
        }
        body
    }
}

/// A fleet file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File(pub BTreeMap<&'static str, Fleet>);

impl File {
    pub fn of<const N: usize>(fleets: [(&'static str, Fleet); N]) -> Self {
        Self(fleets.into())
    }

    /// Reads and expands the file, as the command line does.
    pub fn desired(&self) -> Desired {
        let fleets: BTreeMap<_, _> = self.0.iter().map(|(n, f)| (n, f.body(n))).collect();
        let text = json!({
            "apiVersion": "meshvm/v1",
            "stack": STACK,
            "mesh": {"manifests": {"path": "mesh"}},
            "fleets": fleets,
        });
        let inputs = Inputs {
            // JSON is YAML.
            files: vec![Source {
                name: "meshvm.yaml".to_owned(),
                text: text.to_string(),
            }],
            base_dir: Path::new("/").to_owned(),
            ..Inputs::default()
        };
        let kinds = providers::kinds(&SimCloud::memory(FaultPlan::default()));
        let kinds: Vec<&dyn Kind> = kinds.values().map(AsRef::as_ref).collect();
        let spec = spec::parse(&inputs, &kinds).unwrap_or_else(|problems| panic!("{problems:?}"));
        let user_data = (USER_DATA.to_owned(), "#cloud-config\n{}\n".to_owned());
        let files = NamedFiles {
            templates: [user_data].into(),
            ..NamedFiles::default()
        };
        expand(&spec, &files).unwrap_or_else(|problems| panic!("{problems:?}"))
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, fleet) in &self.0 {
            writeln!(f, "  {name}: {}", fleet.body(name))?;
        }
        Ok(())
    }
}
