//! The `sim` provider: the pure half.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meshvm_provider_api::{
    Difference, Finding, Info, Kind, Machine, Mutability, OpenContext, Provider, ProviderError,
    Scope, Template, UserDataRules,
};
use serde_json::Value;

use crate::cloud::SimCloud;
use crate::provider::SimProvider;
use crate::settings::{NAME, SimSettings};

/// How long a listing may lag, in time: the simulated clock counts calls, so wall time says nothing.
pub(crate) const LISTING_LAG: Duration = Duration::from_secs(60 * 60);
/// The wait between two looks: each look is what makes the clock run.
pub(crate) const POLL: Duration = Duration::from_millis(1);
/// How many looks it may take.
pub(crate) const POLLS: u32 = 400;

static INFO: Info = Info {
    name: NAME,
    summary: "a simulated cloud, for tests and for trying the tool",
    schema: || schemars::schema_for!(SimSettings),
    user_data: UserDataRules {
        limit: 16_384,
        gzip: true,
    },
    max_batch: 1000,
    listing_lag: LISTING_LAG,
    poll: POLL,
    polls: POLLS,
    private_files: false,
    rate: None,
    resolves: false,
    global_ids: true,
};

/// The `sim` provider.
#[derive(Clone, Default)]
pub struct SimKind {
    /// The cloud; absent to open the one in the folder of this computer's machines.
    cloud: Option<SimCloud>,
}

impl SimKind {
    /// Makes the provider of the cloud in `sim/` under the data folder that it is opened with.
    pub const fn new() -> Self {
        Self { cloud: None }
    }

    /// Makes the provider of a cloud.
    pub const fn on(cloud: SimCloud) -> Self {
        Self { cloud: Some(cloud) }
    }
}

#[async_trait]
impl Kind for SimKind {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn template(&self, settings: &Value, _: &Path) -> Result<Template, Vec<Finding>> {
        SimSettings::read(settings)?.template()
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        compare(template, machine)
    }

    async fn open(
        &self,
        _: Option<&Template>,
        scope: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let cloud = match &self.cloud {
            Some(cloud) => cloud.clone(),
            None => SimCloud::folder(&context.data_dir.join(NAME))?,
        };
        Ok(Arc::new(SimProvider {
            cloud,
            scope: scope.clone(),
            max_batch: INFO.max_batch,
            compare: Arc::new(compare),
            requests: context.requests.clone(),
        }))
    }
}

fn compare(template: &Template, machine: &Machine) -> Vec<Difference> {
    let size = |value: Option<&Value>| value.and_then(Value::as_u64);
    let mut differences = template.differences(&machine.attributes, |name| {
        if name.starts_with(TAGS) {
            return Mutability::InPlace;
        }
        match name {
            "size" => Mutability::Restart,
            "diskGiB"
                if size(machine.attributes.get(name)) < size(template.attributes.get(name)) =>
            {
                Mutability::InPlace
            }
            // An attribute that is not known here is another version's: only a new machine is sure.
            _ => Mutability::Replace,
        }
    });
    // A tag that left the file must leave the machine, unlike attributes that were never in it.
    let stale = machine.attributes.iter().filter(|(name, _)| {
        name.starts_with(TAGS) && !template.attributes.contains_key(name.as_str())
    });
    differences.extend(stale.map(|(name, value)| Difference {
        attribute: name.clone(),
        before: Some(value.to_string()),
        after: None,
        mutability: Mutability::InPlace,
    }));
    differences
}

const TAGS: &str = "tags.";

#[cfg(test)]
mod tests {
    use meshvm_provider_api::{Power, Readiness};
    use serde_json::json;

    use super::*;

    fn template(block: &Value) -> Template {
        SimKind::new().template(block, Path::new("")).unwrap()
    }

    fn machine(template: &Template) -> Machine {
        Machine {
            id: "m".into(),
            name: "m".into(),
            zone: "elsewhere".into(),
            power: Power::Running,
            readiness: Readiness::Ready,
            address: None,
            labels: [].into(),
            attributes: template.attributes.clone(),
        }
    }

    #[test]
    fn each_attribute_has_its_mutability() {
        let before = template(&json!({"diskGiB": 20, "tags": {"a": "1", "b": "2"}}));
        let machine = machine(&before);
        assert_eq!(compare(&before, &machine), []);
        let zones = template(&json!({"diskGiB": 20, "zones": ["z"], "tags": {"a": "1", "b": "2"}}));
        assert_eq!(compare(&zones, &machine), []);

        let after = template(&json!({
            "image": "new", "size": "large", "diskGiB": 30, "network": "n", "tags": {"a": "9"}
        }));
        let found: Vec<_> = compare(&after, &machine)
            .into_iter()
            .map(|d| (d.attribute, d.after, d.mutability))
            .collect();
        let expect = |name: &str, after: Option<&str>, mutability| {
            (name.to_owned(), after.map(str::to_owned), mutability)
        };
        assert_eq!(
            found,
            [
                expect("diskGiB", Some("30"), Mutability::InPlace),
                expect("image", Some("\"new\""), Mutability::Replace),
                expect("network", Some("\"n\""), Mutability::Replace),
                expect("size", Some("\"large\""), Mutability::Restart),
                expect("tags.a", Some("\"9\""), Mutability::InPlace),
                expect("tags.b", None, Mutability::InPlace),
            ]
        );
        let smaller = template(&json!({"diskGiB": 5, "tags": {"a": "1", "b": "2"}}));
        assert_eq!(
            compare(&smaller, &machine)[0].mutability,
            Mutability::Replace
        );
    }
}
