//! The rules that every provider keeps, on real containers.

use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use meshvm_provider_api::conformance::{Harness, suite};
use meshvm_provider_api::{
    Kind, Labels, Machine, MachineId, Media, NoPrivateFiles, OpenContext, Template, Update, labels,
};
use meshvm_provider_local::LocalKind;
use serde_json::json;
use uuid::Uuid;

use crate::ground::{Ground, QUICK, STACK, batch, enter, template};
use crate::private::PRIVATE;

struct Containers(Ground);

#[async_trait]
impl Harness for Containers {
    fn kind(&self) -> Arc<dyn Kind> {
        Arc::new(LocalKind)
    }

    fn template(&self) -> Template {
        template(&json!({}))
    }

    fn changed_template(&self) -> Option<(Template, Vec<String>)> {
        let changed = template(&json!({"memory": "384MiB", "cpus": 2}));
        Some((changed, vec!["memory".to_owned(), "cpus".to_owned()]))
    }

    fn context(&self) -> OpenContext {
        self.0.context()
    }

    fn user_data(&self) -> String {
        QUICK.to_owned()
    }

    fn media(&self) -> Vec<Media> {
        let path = self.0.data_dir.with_added_extension("abc");
        fs::write(&path, "abc").unwrap();
        vec![Media {
            name: "abc.txt".to_owned(),
            path,
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
        }]
    }

    async fn stop(&self, machine: &MachineId) -> Option<()> {
        self.0.kill(machine).await;
        Some(())
    }

    async fn private_file(&self, machine: &Machine, name: &str) -> Option<String> {
        let file = format!("{PRIVATE}/{name}");
        let output = enter(&self.0, &machine.name, &["cat", &file]);
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn records(&self, machine: &Machine) -> String {
        let folder = self.0.folder(&machine.name);
        let files = ["machine.json", "console.log", "launch.sh"].map(|name| folder.join(name));
        let network = self.0.data_dir.join("network.json");
        let texts = files.iter().chain([&network]).map(|file| {
            let text = fs::read(file).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        texts.collect()
    }

    async fn add_foreign(&self) -> Option<MachineId> {
        let provider = self.0.open().await;
        let batch = batch(Uuid::new_v4(), 1, QUICK, Vec::new());
        let created = provider.create(&batch, &NoPrivateFiles).await.unwrap();
        let id = created.machines[0].id.clone();
        let forget = Update {
            machines: vec![id.clone()],
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::new(),
            remove_labels: labels::ALL.map(str::to_owned).to_vec(),
        };
        provider.update(&forget).await.unwrap();
        Some(id)
    }

    async fn remove_foreign(&self, machine: &MachineId) {
        let provider = self.0.open().await;
        let own = Update {
            machines: vec![machine.clone()],
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::from([(labels::STACK.to_owned(), STACK.to_owned())]),
            remove_labels: Vec::new(),
        };
        provider.update(&own).await.unwrap();
        provider
            .delete(STACK, std::slice::from_ref(machine))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_keep_every_rule() {
    let containers = Containers(Ground::new());
    suite(&containers).await;
    fs::remove_file(containers.0.data_dir.with_added_extension("abc")).unwrap();
    containers.0.assert_clean("at the end").await;
}
