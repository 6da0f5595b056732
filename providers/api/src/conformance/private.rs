//! Rules of files that one machine alone may see.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::Harness;
use super::ground::{Ground, done, ids};
use crate::error::ProviderError;
use crate::private::{PrivateFile, PrivateFiles};

/// What must be seen nowhere but on the machine.
const CONTENT: &str = "known-to-one-machine-alone";

/// Counts how often each machine's files were asked for.
#[derive(Default)]
struct Counting(Mutex<BTreeMap<String, u32>>);

#[async_trait]
impl PrivateFiles for Counting {
    async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        let mut asked = self.0.lock().expect("no rule panics while it counts");
        *asked.entry(machine.to_owned()).or_default() += 1;
        Ok(vec![PrivateFile {
            name: "token".to_owned(),
            content: CONTENT.into(),
        }])
    }
}

/// The files of each new machine are asked for once, by its name, and those of no other; nothing
/// that the provider tells of a machine holds them.
pub async fn private_files_are_asked_for_once(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(harness.several());
    let asked = Counting::default();
    let made = done("creating", ground.provider.create(&batch, &asked).await).machines;
    let again = done("creating", ground.provider.create(&batch, &asked).await).machines;
    assert_eq!(ids(&again), ids(&made), "other files are no other request");
    let asked = asked
        .0
        .into_inner()
        .expect("no rule panics while it counts");
    let wanted: BTreeMap<String, u32> = match harness.kind().info().private_files {
        true => made
            .iter()
            .map(|machine| (machine.name.clone(), 1))
            .collect(),
        false => BTreeMap::new(),
    };
    assert_eq!(asked, wanted, "once for each machine that was made");
    let told = format!("{made:?}{:?}", ground.list().await);
    assert!(!told.contains(CONTENT), "private files are told by no one");
    ground.clear().await;
}
