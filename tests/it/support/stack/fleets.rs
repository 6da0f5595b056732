//! Fleet files for tests, taken through the real front end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use meshvm::desired::{Desired, DesiredFleet, NamedFiles, ResolvedRollout, expand};
use meshvm::spec::{self, Inputs, Source};
use meshvm_provider_api::{Hash, Kind};
use meshvm_provider_sim::SimKind;
use serde_json::json;

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
    pub role: Role,
}

/// What a fleet is to the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Nothing,
    Member,
    /// A member whose machines are entered before they are ready.
    Probed,
    /// A member whose entries the control plane makes.
    AutoRegistered,
    External,
}

impl Role {
    /// Returns the one after this, and the first after the last.
    pub fn next(self) -> Self {
        match self {
            Self::Nothing => Self::Member,
            Self::Member => Self::Probed,
            Self::Probed => Self::AutoRegistered,
            Self::AutoRegistered => Self::External,
            Self::External => Self::Nothing,
        }
    }
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
            role: Role::Member,
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

    pub fn role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    /// Returns what the fleet asks for, with all else as in `frame`.
    fn desired(&self, frame: DesiredFleet) -> DesiredFleet {
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
            role,
        } = self;
        let block = json!({
            "region": region, "zones": zones, "image": image, "size": size, "tags": tags,
        });
        let template = SimKind::new().template(&block, Path::new("/")).unwrap();
        let mut membership = json!({
            "namespace": "vm",
            "serviceAccount": "shop",
            "labels": {"app": "shop"},
            "ports": {"http": 9080},
            "service": {"ports": [{"name": "http", "port": 9080}]},
        });
        match role {
            Role::Probed => membership["probe"] = json!({"tcpSocket": {"port": 9080}}),
            Role::AutoRegistered => membership["autoRegister"] = json!(true),
            Role::Nothing | Role::Member | Role::External => {}
        }
        let external = json!({
            "namespace": "vm",
            "hosts": ["shop.example"],
            "ports": [{"name": "http", "port": 80, "targetPort": 9080}],
        });
        let is_member = match role {
            Role::Member | Role::Probed | Role::AutoRegistered => true,
            Role::Nothing | Role::External => false,
        };
        let is_external = *role == Role::External;
        let made_from = json!([template.attributes, labels, frame.boot.user_data]);
        DesiredFleet {
            replicas: *replicas,
            labels: labels.clone(),
            spec: Hash::of(made_from.to_string()),
            template,
            rollout: ResolvedRollout {
                max_surge: *surge,
                max_unavailable: *unavailable,
                ..frame.rollout
            },
            membership: is_member.then(|| serde_json::from_value(membership).unwrap()),
            external: is_external.then(|| serde_json::from_value(external).unwrap()),
            ..frame
        }
    }
}

/// A fleet file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File(pub BTreeMap<&'static str, Fleet>);

impl File {
    pub fn of<const N: usize>(fleets: [(&'static str, Fleet); N]) -> Self {
        Self(fleets.into())
    }

    /// Returns what the file asks for.
    ///
    /// Only a frame goes through the front end: reading a text and rendering a
    /// bootstrap take longer than applying them.
    pub fn desired(&self) -> Desired {
        static FRAME: LazyLock<Desired> = LazyLock::new(frame);
        let mut desired = FRAME.clone();
        let frame = desired.fleets["frame"].clone();
        desired.fleets = self
            .0
            .iter()
            .map(|(name, fleet)| ((*name).to_owned(), fleet.desired(frame.clone())))
            .collect();
        desired
    }
}

/// Expands a fleet file as the command line does.
fn frame() -> Desired {
    let text = format!(
        "{{apiVersion: meshvm/v1, stack: {STACK}, mesh: {{manifests: {{path: mesh}}}},\n\
         fleets: {{frame: {{sim: {{}}, bootstrap: {{template: {USER_DATA}}}}}}}}}"
    );
    let name = "meshvm.yaml".to_owned();
    let inputs = Inputs {
        files: vec![Source { name, text }],
        base_dir: Path::new("/").to_owned(),
        ..Inputs::default()
    };
    let spec = spec::parse(&inputs, &[&SimKind::new()]).unwrap_or_else(|all| panic!("{all:?}"));
    let user_data = (USER_DATA.to_owned(), "#cloud-config\n{}\n".to_owned());
    let files = NamedFiles {
        templates: [user_data].into(),
        ..NamedFiles::default()
    };
    let expanded = expand(&spec, &files, None);
    expanded
        .unwrap_or_else(|problems| panic!("{problems:?}"))
        .desired
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, fleet) in &self.0 {
            writeln!(f, "  {name}: {fleet:?}")?;
        }
        Ok(())
    }
}
