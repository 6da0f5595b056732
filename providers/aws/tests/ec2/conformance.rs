//! The rules that every provider keeps, on a server that behaves well and badly.

use std::sync::Arc;

use async_trait::async_trait;
use meshvm_ec2::{Bucket, Manners};
use meshvm_provider_api::conformance::{Harness, suite};
use meshvm_provider_api::{
    Kind, MachineId, OpenContext, Provider, ProviderError, Requests, Template,
};
use serde_json::json;

use crate::ground::Ground;

/// The suite's view of an account.
struct OnEc2 {
    ground: Ground,
    template: Template,
    changed: Template,
    is_patient: bool,
}

impl OnEc2 {
    async fn new(manners: Manners, is_patient: bool) -> Self {
        let ground = Ground::new().await;
        let template = ground.template(&json!({"tags": {"a": "1"}})).await;
        let group = ground.ec2.create_security_group().group_name("g");
        let group = group.description("g").send().await.unwrap();
        let changed = json!({
            "tags": {"b": "2"},
            "instanceType": "c7g.large",
            "securityGroups": [group.group_id().unwrap()],
            "metadata": {"tokens": "optional", "hopLimit": 2},
            "terminationProtection": false,
        });
        let changed = ground.template(&changed).await;
        ground.proxy.behave(|now| *now = manners);
        Self {
            ground,
            template,
            changed,
            is_patient,
        }
    }
}

#[async_trait]
impl Harness for OnEc2 {
    fn kind(&self) -> Arc<dyn Kind> {
        Arc::new(self.ground.kind.clone())
    }

    fn template(&self) -> Template {
        self.template.clone()
    }

    fn changed_template(&self) -> Option<(Template, Vec<String>)> {
        let names = [
            "tags.a",
            "tags.b",
            "instanceType",
            "securityGroups",
            "metadata.tokens",
            "metadata.hopLimit",
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
        self.ground.proxy.settle();
    }

    async fn stop(&self, machine: &MachineId) -> Option<()> {
        let stop = self.ground.ec2.stop_instances().instance_ids(&machine.0);
        stop.send().await.unwrap();
        Some(())
    }

    async fn add_foreign(&self) -> Option<MachineId> {
        let run = self.ground.ec2.run_instances().image_id("ami-12c6146b");
        let made = run.min_count(1).max_count(1).send().await.unwrap();
        Some(MachineId(
            made.instances()[0].instance_id().unwrap().to_owned(),
        ))
    }

    async fn remove_foreign(&self, machine: &MachineId) {
        let end = self
            .ground
            .ec2
            .terminate_instances()
            .instance_ids(&machine.0);
        end.send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_day_conforms() {
    suite(&OnEc2::new(Manners::default(), false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_listings_conform() {
    let late = Manners {
        lag: 3,
        ..Manners::default()
    };
    suite(&OnEc2::new(late, false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_day_conforms_behind_retries() {
    let mut bad = Manners {
        lag: 2,
        lose_every: 3,
        ..Manners::default()
    };
    for action in ["RunInstances", "TerminateInstances", "CreateTags"] {
        bad.buckets.insert(action.to_owned(), Bucket::new(2, 20));
    }
    let harness = OnEc2::new(bad, true).await;
    suite(&harness).await;
    let proxy = &harness.ground.proxy;
    assert!(proxy.lost() > 5, "{} replies were lost", proxy.lost());
}
