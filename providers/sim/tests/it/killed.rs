//! Processes that share a file are killed at random moments: what is there stays whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use meshvm_provider_api::{Labels, Machine, NoPrivateFiles, Update, labels};
use meshvm_provider_sim::{FaultPlan, SimCloud, Span};
use uuid::Uuid;

use crate::faults::Stage;
use crate::harness::OnSim;

/// The file that a child works on.
const FILE: &str = "MESHVM_SIM_TEST_FILE";
/// How often to kill, if not the usual number of times.
const KILLS: &str = "MESHVM_SIM_TEST_KILLS";
/// The machines of every batch: each call is about all of one batch.
const BATCH: u32 = 40;

fn plan() -> FaultPlan {
    FaultPlan {
        list_lag: Span::exactly(3),
        ready_after: Span { min: 2, max: 9 },
        ..FaultPlan::default()
    }
}

/// Not a test of its own: what the children run until they are killed.
#[tokio::test]
#[ignore = "run by the test below"]
async fn child() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let cloud = SimCloud::file(Path::new(&path), plan()).unwrap();
    let stage = Stage::on(OnSim::new(cloud, &plan())).await;
    for round in 0_u64.. {
        let mut batch = stage.batch(BATCH);
        batch.key.0 = Uuid::new_v4();
        batch.ownership.batch = Some(batch.key);
        let created = stage
            .provider
            .create(&batch, &NoPrivateFiles)
            .await
            .unwrap();
        let ids: Vec<_> = created.machines.into_iter().map(|m| m.id).collect();
        println!("created {}", batch.key);
        let update = Update {
            machines: ids.clone(),
            template: None,
            attributes: Vec::new(),
            start: false,
            set_labels: Labels::from([("round".into(), round.to_string())]),
            remove_labels: Vec::new(),
        };
        stage.provider.update(&update).await.unwrap();
        stage.listed().await;
        if round % 8 != 7 {
            println!("deleting {}", batch.key);
            stage.provider.delete("s", &ids).await.unwrap();
            println!("deleted {}", batch.key);
        }
    }
}

/// A process at work on the file, and how far it says it has come with each batch.
struct Writer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: BTreeMap<String, String>,
}

impl Writer {
    fn spawn(path: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child", "--ignored", "--nocapture"])
            .env(FILE, path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = process.stdout.take().unwrap();
        Self {
            process,
            lines: BufReader::new(out).lines(),
            told: BTreeMap::new(),
        }
    }

    /// Reads what it says, up to its first batch or to its end.
    fn listen(&mut self, to_the_end: bool) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            let said = line.split_once(' ').filter(|(_, key)| key.len() == 32);
            if let Some((step, key)) = said {
                self.told.insert(key.to_owned(), step.to_owned());
                if !to_the_end {
                    return;
                }
            }
        }
    }

    fn kill(mut self) -> BTreeMap<String, String> {
        self.process.kill().unwrap();
        self.listen(true);
        self.process.wait().unwrap();
        self.told
    }
}

fn by_batch(machines: Vec<Machine>) -> BTreeMap<String, Vec<Machine>> {
    let mut batches: BTreeMap<String, Vec<Machine>> = BTreeMap::new();
    for machine in machines {
        let key = machine.labels[labels::BATCH].clone();
        batches.entry(key).or_default().push(machine);
    }
    batches
}

#[test]
fn killed_writers_leave_a_whole_cloud() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cloud");
    let (mut told, mut anew) = (BTreeMap::new(), std::collections::BTreeSet::new());
    let mut batches_made = 0;
    let kills = std::env::var(KILLS).map_or(20, |text| text.parse().unwrap());
    for round in 0_u64..kills {
        // Two at once, killed one after the other, so that a lock holder dies before a waiter.
        let (mut one, mut two) = (Writer::spawn(&path), Writer::spawn(&path));
        one.listen(false);
        two.listen(false);
        // Times that share no factor with anything that the writers do.
        std::thread::sleep(Duration::from_micros(round * 7_919 % 61_001));
        told.extend(one.kill());
        std::thread::sleep(Duration::from_micros(round * 3_571 % 23_003));
        told.extend(two.kill());

        let cloud = SimCloud::file(&path, plan()).unwrap();
        let batches = by_batch(cloud.machines().unwrap());
        for (key, machines) in &batches {
            assert_eq!(machines.len(), BATCH as usize, "{key} is whole");
            let labels = machines.iter().map(|machine| &machine.labels);
            assert!(
                labels.clone().all(|l| l == &machines[0].labels),
                "{key} changed at once"
            );
        }
        for (key, step) in &told {
            let exists = batches.contains_key(key);
            match step.as_str() {
                "created" => assert!(exists, "{key} was created"),
                "deleted" => assert!(!exists, "{key} was deleted"),
                // Killed in the middle of a deletion: either, as a whole.
                step => assert_eq!(step, "deleting", "{key}"),
            }
        }
        let text = std::fs::read_to_string(&path).unwrap();
        anew.insert(text.lines().next().unwrap().to_owned());
        if round % 20 == 19 {
            // What the killed leave behind would only make the rest slow.
            batches_made += told.len();
            told.clear();
            std::fs::remove_file(&path).unwrap();
        }
    }
    batches_made += told.len();
    println!("{batches_made} batches, {} files", anew.len());
    assert!(anew.len() > 1, "the file was never written anew");
}
