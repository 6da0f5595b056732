//! The `local` provider: the pure half.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meshvm_provider_api::{
    Difference, Finding, Info, Kind, Machine, Mutability, OpenContext, Provider, ProviderError,
    Scope, Template, UserDataRules,
};
use serde_json::Value;

use crate::host::{Host, read_settings};
use crate::provider::LocalProvider;
use crate::settings::{BackendKind, LocalSettings, NAME};

/// The most bytes of user-data; cloud-init has no limit, a typing error should.
pub(crate) const USER_DATA_LIMIT: usize = 1 << 20;

static INFO: Info = Info {
    name: NAME,
    summary: "real machines on this computer",
    schema: || schemars::schema_for!(LocalSettings),
    user_data: UserDataRules {
        limit: USER_DATA_LIMIT,
        gzip: false,
    },
    max_batch: 50,
    listing_lag: Duration::ZERO,
    poll: Duration::from_millis(500),
    polls: 20,
    private_files: true,
    rate: None,
    resolves: false,
    global_ids: true,
};

/// The `local` provider.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalKind;

#[async_trait]
impl Kind for LocalKind {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn template(&self, settings: &Value, base_dir: &Path) -> Result<Template, Vec<Finding>> {
        LocalSettings::read(settings, base_dir)?.template()
    }

    fn compare(&self, template: &Template, machine: &Machine) -> Vec<Difference> {
        let container = BackendKind::Container.to_string();
        let is_container = machine.attributes.get("backend") == Some(&Value::String(container));
        template.differences(&machine.attributes, |attribute| match attribute {
            // A cgroup's limits change under a running container; QEMU's do not.
            "memory" | "cpus" if is_container => Mutability::InPlace,
            "memory" | "cpus" => Mutability::Restart,
            "publish" if is_container => Mutability::Replace,
            "accel" | "publish" => Mutability::Restart,
            // An attribute that is not known here is another version's: only a new machine is sure.
            _ => Mutability::Replace,
        })
    }

    async fn open(
        &self,
        template: Option<&Template>,
        _: &Scope,
        context: &OpenContext,
    ) -> Result<Arc<dyn Provider>, ProviderError> {
        let host = Host::open(context)?;
        if let Some(template) = template {
            // Now, and not after half of a run: whether such machines can be had here at all.
            host.choose(&read_settings(template)?)?;
        }
        Ok(Arc::new(LocalProvider::new(host)))
    }
}

#[cfg(test)]
mod tests {
    use meshvm_provider_api::{Power, Readiness};
    use serde_json::json;

    use super::*;

    fn machine(block: &Value, backend: &str) -> Machine {
        let template = LocalKind.template(block, Path::new("/")).unwrap();
        let mut attributes = template.attributes;
        attributes.insert("backend".to_owned(), json!(backend));
        Machine {
            id: "m".into(),
            name: "m".into(),
            zone: "elsewhere".into(),
            power: Power::Running,
            readiness: Readiness::Ready,
            address: None,
            labels: [].into(),
            attributes,
        }
    }

    fn differences(block: &Value, machine: &Machine) -> Vec<(String, Mutability)> {
        let template = LocalKind.template(block, Path::new("/")).unwrap();
        LocalKind
            .compare(&template, machine)
            .into_iter()
            .map(|difference| (difference.attribute, difference.mutability))
            .collect()
    }

    #[test]
    fn each_attribute_has_its_mutability() {
        let changed = json!({
            "memory": "1GiB", "cpus": 2, "disk": "4GiB", "backend": "vm",
            "publish": [{"host": 8080, "guest": 80}],
            "image": {"path": "x", "sha256": "0".repeat(64)},
        });
        use Mutability::{InPlace, Replace, Restart};
        for (backend, memory, publish) in
            [("container", InPlace, Replace), ("vm", Restart, Restart)]
        {
            let machine = machine(&json!({}), backend);
            assert_eq!(differences(&json!({}), &machine), []);
            assert_eq!(differences(&json!({"zones": ["z"]}), &machine), []);
            let mut expected = vec![
                ("cpus".to_owned(), memory),
                ("disk".to_owned(), Replace),
                ("image".to_owned(), Replace),
                ("memory".to_owned(), memory),
                ("publish".to_owned(), publish),
            ];
            if backend == "container" {
                expected.insert(0, ("backend".to_owned(), Replace));
            }
            assert_eq!(differences(&changed, &machine), expected, "{backend}");
        }
    }

    #[test]
    fn a_size_is_the_same_however_it_is_written() {
        let machine = machine(&json!({"memory": "1GiB"}), "container");
        assert_eq!(differences(&json!({"memory": "1024MiB"}), &machine), []);
    }
}
