//! Rules of files that one machine alone may see.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::Harness;
use super::ground::{Ground, done, fails, ids};
use crate::error::{ErrorClass, ProviderError};
use crate::machine::Machine;
use crate::private::{PrivateFile, PrivateFiles};

/// The name of each machine's file.
const NAME: &str = "token";

/// Returns what must be seen nowhere but on the machine.
fn content(machine: &str) -> String {
    format!("known-to-{machine}-alone")
}

/// Makes a file for each machine, and counts how often it was asked to.
#[derive(Default)]
struct Counting(Mutex<BTreeMap<String, u32>>);

impl Counting {
    fn asked(&self) -> BTreeMap<String, u32> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl PrivateFiles for Counting {
    async fn of(&self, machine: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *asked.entry(machine.to_owned()).or_default() += 1;
        Ok(vec![PrivateFile {
            name: NAME.to_owned(),
            content: content(machine).into(),
        }])
    }
}

/// Makes no file, for a reason that passes.
struct Failing;

#[async_trait]
impl PrivateFiles for Failing {
    async fn of(&self, _: &str) -> Result<Vec<PrivateFile>, ProviderError> {
        Err(ProviderError::new(ErrorClass::Unavailable, "no files now"))
    }
}

/// The files of each new machine are asked for once, by its name, and reach it; those of no other
/// are, and nothing that is told or written down of a machine holds them.
pub async fn private_files_are_asked_for_once(harness: &dyn Harness) {
    let ground = Ground::new(harness).await;
    let batch = ground.batch(harness.several());
    let source = Counting::default();
    let made = done("creating", ground.provider.create(&batch, &source).await).machines;
    let again = done("creating", ground.provider.create(&batch, &source).await).machines;
    assert_eq!(ids(&again), ids(&made), "other files are no other request");
    // What is refused makes no machine, so it needs no files.
    let mut more = batch.clone();
    more.count += 1;
    let answer = ground.provider.create(&more, &source).await;
    fails("another request", ErrorClass::Conflict, answer);
    let wanted: BTreeMap<String, u32> = if harness.kind().info().private_files {
        let names = made.iter().map(|machine| machine.name.clone());
        names.map(|name| (name, 1)).collect()
    } else {
        BTreeMap::new()
    };
    assert_eq!(
        source.asked(),
        wanted,
        "once for each machine that was made"
    );
    has_its_files(harness, &made).await;
    let listed = ground.list().await;
    for machine in &made {
        let records = harness.records(machine).await;
        let told = format!("{made:?}{again:?}{listed:?}{records}");
        let content = content(&machine.name);
        assert!(!told.contains(&content), "private files are told by no one");
    }
    ground.clear().await;
}

/// No machine is made while there are no files for it, and the same request makes it once there are.
pub async fn machines_wait_for_their_files(harness: &dyn Harness) {
    if !harness.kind().info().private_files {
        return;
    }
    let ground = Ground::new(harness).await;
    let batch = ground.batch(1);
    let answer = ground.provider.create(&batch, &Failing).await;
    fails("without files", ErrorClass::Unavailable, answer);
    assert_eq!(ground.list().await, [], "a machine without its files");
    let source = Counting::default();
    let made = done("creating", ground.provider.create(&batch, &source).await).machines;
    assert_eq!(made.len(), 1, "the same request later");
    has_its_files(harness, &made).await;
    ground.clear().await;
}

async fn has_its_files(harness: &dyn Harness, machines: &[Machine]) {
    for machine in machines {
        if let Some(found) = harness.private_file(machine, NAME).await {
            assert_eq!(found, content(&machine.name), "the file of {}", machine.id);
        }
    }
}
