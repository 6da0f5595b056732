//! The rules that every provider keeps, on a double that behaves well and badly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use meshvm_arm::{Authority, Manners, Way};
use meshvm_provider_api::conformance::{Harness, suite};
use meshvm_provider_api::{
    Kind, MachineId, OpenContext, Provider, ProviderError, Requests, Template,
};
use serde_json::json;

use crate::ground::{Ground, on_arm};

/// The suite's view of a subscription.
struct OnArm {
    ground: Ground,
    template: Template,
    changed: Template,
    is_patient: bool,
    foreign: AtomicU32,
}

impl OnArm {
    async fn new(authority: &Authority, manners: Manners, is_patient: bool) -> Self {
        let ground = Ground::new(authority).await;
        let block = json!({"tags": {"a": "1"}, "networkSecurityGroup": "mesh"});
        let template = ground.template(&block).await;
        let changed = json!({
            "tags": {"b": "2"},
            "vmSize": "Standard_D4s_v5",
            "networkSecurityGroup": "strict",
            "identity": {"system": true},
        });
        let changed = ground.template(&changed).await;
        ground.arm.behave(|now| *now = manners);
        Self {
            ground,
            template,
            changed,
            is_patient,
            foreign: AtomicU32::new(0),
        }
    }
}

#[async_trait]
impl Harness for OnArm {
    fn kind(&self) -> Arc<dyn Kind> {
        Arc::new(self.ground.kind)
    }

    fn template(&self) -> Template {
        self.template.clone()
    }

    fn changed_template(&self) -> Option<(Template, Vec<String>)> {
        let names = [
            "tags.a",
            "tags.b",
            "vmSize",
            "networkSecurityGroup",
            "identity.system",
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
        self.ground.arm.settle();
    }

    async fn stop(&self, machine: &MachineId) -> Option<()> {
        self.ground.arm.stop(&machine.0);
        Some(())
    }

    async fn add_foreign(&self) -> Option<MachineId> {
        let name = format!("other-{}", self.foreign.fetch_add(1, Ordering::Relaxed));
        self.ground.arm.make(&name, &json!({"team": "b"}));
        Some(MachineId(name))
    }

    async fn remove_foreign(&self, machine: &MachineId) {
        self.ground.arm.end(&machine.0);
    }
}

#[test]
fn a_good_day_conforms() {
    on_arm(async |authority| {
        suite(&OnArm::new(&authority, Manners::default(), false).await).await;
    });
}

#[test]
fn late_listings_conform() {
    on_arm(async |authority| {
        let late = Manners {
            lag: 3,
            ..Manners::default()
        };
        suite(&OnArm::new(&authority, late, false).await).await;
    });
}

async fn slow_operations_conform(authority: Authority, way: Way) {
    let slow = Manners {
        pending: 2,
        way,
        ..Manners::default()
    };
    suite(&OnArm::new(&authority, slow, false).await).await;
}

#[test]
fn operations_are_followed_by_themselves() {
    on_arm(async |authority| slow_operations_conform(authority, Way::Operation).await);
}

#[test]
fn operations_are_followed_by_where_their_result_will_be() {
    on_arm(async |authority| slow_operations_conform(authority, Way::Location).await);
}

#[test]
fn operations_are_followed_by_the_state_of_the_resource() {
    on_arm(async |authority| slow_operations_conform(authority, Way::State).await);
}

#[test]
fn a_bad_day_conforms_behind_retries() {
    on_arm(async |authority| {
        let mut bad = Manners {
            lag: 2,
            lose_every: 3,
            pending: 1,
            ..Manners::default()
        };
        for operation in ["VirtualMachines.create_or_update", "VirtualMachines.list"] {
            bad.throttle_every.insert(operation.to_owned(), 4);
        }
        let harness = OnArm::new(&authority, bad, true).await;
        suite(&harness).await;
        let arm = &harness.ground.arm;
        assert!(arm.lost() > 5, "{} replies were lost", arm.lost());
        assert!(arm.throttled() > 5, "{} were throttled", arm.throttled());
    });
}
