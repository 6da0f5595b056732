//! A real process, killed at any moment: what it was told is durable is there,
//! and its lock is free at once on the same computer.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;

use super::super::{Claim, Clock, Holder, Ledger, LedgerError};

const FOLDER: &str = "MESHVM_TEST_VICTIM_FOLDER";

fn open(folder: &Path) -> Ledger {
    Ledger::open("file://ledger", folder, "bookinfo").unwrap()
}

fn claim(command: &str) -> Claim {
    Claim {
        holder: Holder::this_process("ann", "laptop", command, Timestamp::now()),
        ttl: Duration::from_secs(3600),
    }
}

#[tokio::test]
#[ignore = "is killed by the test below"]
async fn victim() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let ledger = open(Path::new(&folder));
    let lease = ledger
        .acquire(claim("victim"), Clock::system())
        .await
        .unwrap();
    let mut run = ledger.begin_run(&lease, b"{}".to_vec()).await.unwrap();
    for entry in 0_u32.. {
        run.append(&[entry]).await.unwrap();
        lease.renew().await.unwrap();
        println!("\nappended {entry}");
    }
}

#[tokio::test]
async fn a_killed_writer_loses_nothing_that_it_was_told_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    for round in 0..20_u64 {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                &format!("{module}::victim"),
                "--exact",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("appended ")?.parse::<u32>().ok());
        let mut last = lines.next();
        assert!(last.is_some(), "round {round}: the victim did nothing");
        let ledger = open(folder.path());
        let refused = ledger.acquire(claim("early"), Clock::system()).await;
        assert!(
            matches!(refused, Err(LedgerError::Locked(_))),
            "{refused:?}"
        );
        std::thread::sleep(Duration::from_micros(round * 1_300));
        victim.kill().unwrap();
        victim.wait().unwrap();
        last = lines.last().or(last);

        // Nobody waits an hour for the dead.
        let lease = ledger
            .acquire(claim("heir"), Clock::system())
            .await
            .unwrap();
        assert!(lease.predecessor().is_some());
        let runs = ledger.take_runs::<u32>(&lease).await.unwrap();
        let [run] = runs.as_slice() else {
            panic!("round {round}: {runs:?}");
        };
        let told = last.unwrap() as usize + 1;
        let expected: Vec<u32> = (0..u32::try_from(run.entries.len()).unwrap()).collect();
        assert_eq!(run.entries, expected);
        assert!(
            told <= run.entries.len() && run.entries.len() <= told + 1,
            "round {round}"
        );
        ledger.forget_run(run.fence).await.unwrap();
        lease.release().await.unwrap();
    }
}
