//! The rules that every provider keeps, on a double that behaves well and badly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use meshvm_gce::Manners;
use meshvm_provider_api::conformance::{Harness, suite};
use meshvm_provider_api::{
    Kind, MachineId, OpenContext, Provider, ProviderError, Requests, Template,
};
use serde_json::json;

use crate::ground::{Ground, PROJECT, address, on_gce};

/// Where machines of others stand.
const ZONE: &str = "europe-west1-c";

/// The suite's view of a project.
struct OnGce {
    ground: Ground,
    template: Template,
    changed: Template,
    is_patient: bool,
    foreign: AtomicU32,
}

impl OnGce {
    async fn new(manners: Manners, is_patient: bool) -> Self {
        let ground = Ground::new().await;
        let block = json!({
            "labels": {"a": "1"}, "tags": ["web"], "metadata": {"x": "1", "y": "1"},
        });
        let template = ground.template(&block).await;
        let changed = json!({
            "labels": {"b": "2"},
            "tags": ["web", "api"],
            "metadata": {"x": "2"},
            "machineType": "e2-medium",
        });
        let changed = ground.template(&changed).await;
        ground.gce.behave(|now| *now = manners);
        Self {
            ground,
            template,
            changed,
            is_patient,
            foreign: AtomicU32::new(0),
        }
    }

    /// Finds where a machine is, and its name.
    fn address(&self, machine: &MachineId) -> Option<String> {
        let instances = self.ground.gce.instances();
        let found = instances.iter().find(|it| it["id"] == machine.0.as_str())?;
        let zone = found["zone"].as_str()?.rsplit('/').next()?;
        Some(address(zone, found["name"].as_str()?))
    }
}

#[async_trait]
impl Harness for OnGce {
    fn kind(&self) -> Arc<dyn Kind> {
        Arc::new(self.ground.kind)
    }

    fn template(&self) -> Template {
        self.template.clone()
    }

    fn changed_template(&self) -> Option<(Template, Vec<String>)> {
        let names = [
            "label.a",
            "label.b",
            "tags",
            "metadata.x",
            "metadata.y",
            "machineType",
        ];
        let names = names.map(str::to_owned).to_vec();
        Some((self.changed.clone(), names))
    }

    fn context(&self) -> OpenContext {
        let mut context = self.ground.context();
        if self.is_patient {
            // Retries make the count say nothing of pages: nobody counts then.
            context.requests = Requests::default();
        }
        context
    }

    async fn open(&self) -> Result<Arc<dyn Provider>, ProviderError> {
        Ok(match self.is_patient {
            true => self.ground.patient(&self.template).await,
            false => self.ground.open(&self.template).await,
        })
    }

    async fn settle(&self) {
        self.ground.gce.settle();
    }

    async fn stop(&self, machine: &MachineId) -> Option<()> {
        let stop = format!("{}/stop", self.address(machine)?);
        self.ground.gce.ask("POST", &stop, None);
        Some(())
    }

    async fn add_foreign(&self) -> Option<MachineId> {
        let name = format!("other-{}", self.foreign.fetch_add(1, Ordering::Relaxed));
        let image = "projects/debian-cloud/global/images/family/debian-12";
        let body = json!({
            "name": name,
            "machineType": format!("zones/{ZONE}/machineTypes/e2-small"),
            "disks": [{"boot": true, "autoDelete": true, "initializeParams": {"sourceImage": image}}],
            "networkInterfaces": [{"network": "global/networks/default"}],
            "labels": {"team": "b"},
        });
        let path = format!("/compute/v1/projects/{PROJECT}/zones/{ZONE}/instances");
        let made = self.ground.gce.ask("POST", &path, Some(&body));
        Some(MachineId(made["targetId"].as_str()?.to_owned()))
    }

    async fn remove_foreign(&self, machine: &MachineId) {
        let address = self.address(machine).unwrap();
        self.ground.gce.ask("DELETE", &address, None);
    }
}

#[test]
fn a_good_day_conforms() {
    on_gce(async || suite(&OnGce::new(Manners::default(), false).await).await);
}

#[test]
fn late_listings_conform() {
    on_gce(async || {
        let late = Manners {
            lag: 3,
            ..Manners::default()
        };
        suite(&OnGce::new(late, false).await).await;
    });
}

#[test]
fn slow_operations_conform() {
    on_gce(async || {
        let slow = Manners {
            slow: 9,
            ..Manners::default()
        };
        suite(&OnGce::new(slow, false).await).await;
    });
}

#[test]
fn a_bad_day_conforms_behind_retries() {
    on_gce(async || {
        let bad = Manners {
            lag: 2,
            slow: 4,
            lose_every: 3,
            throttle_every: 5,
            ..Manners::default()
        };
        let harness = OnGce::new(bad, true).await;
        suite(&harness).await;
        let gce = &harness.ground.gce;
        assert!(gce.lost() > 5, "{} replies were lost", gce.lost());
        assert!(gce.throttled() > 5, "{} were throttled", gce.throttled());
    });
}
