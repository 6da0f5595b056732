//! Ledgers in object stores, each on a server that nobody here wrote: Azurite, and moto's S3, which
//! speaks Cloud Storage's XML API but for the word for "create if absent", which its proxy says.

#[cfg(feature = "ledger-az")]
mod azurite;

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::program::{Sandbox, finish};

/// A stack whose ledger is in a store.
struct Ground<'a> {
    sandbox: Sandbox,
    environment: &'a [(&'a str, String)],
}

impl<'a> Ground<'a> {
    fn new(ledger: &str, replicas: u32, environment: &'a [(&'a str, String)]) -> Self {
        let file = format!(
            "apiVersion: meshvm/v1\nstack: shop\nledger: {ledger}\nfleets:\n  web: {{replicas: {replicas}, sim: {{}}}}\n"
        );
        Self {
            sandbox: Sandbox::with(&file),
            environment,
        }
    }

    fn command(&self, line: &str) -> Command {
        let args: Vec<&str> = line.split_whitespace().collect();
        let mut command = self.sandbox.command(&args);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    #[track_caller]
    fn meshvm(&self, line: &str, code: i32) -> String {
        let child = self.command(line).spawn().unwrap();
        finish(child).exits(code).all()
    }

    fn machines(&self) -> usize {
        self.sandbox.cloud().machines().unwrap().len()
    }
}

/// Plays what a store must be good for, in a bucket that is there and empty.
fn a_stack_lives_by_it(scheme: &str, bucket: &str, environment: &[(&str, String)]) {
    let ground = Ground::new(&format!("{scheme}://{bucket}/life"), 2, environment);
    ground.meshvm("apply -y", 0);
    assert_eq!(ground.machines(), 2);
    ground.meshvm("plan --detailed-exitcode", 0);
    let files = ground.sandbox.files().into_keys();
    let left: Vec<String> = files.filter(|name| !name.contains("/cloud")).collect();
    assert_eq!(left, ["meshvm.yaml"], "the ledger is in the bucket");
    ground.meshvm("destroy -y", 0);
    assert_eq!(ground.machines(), 0);

    // Of many at once one works, and the others are told.
    let ground = Ground::new(&format!("{scheme}://{bucket}/many"), 3, environment);
    let runs: Vec<_> = (0..4)
        .map(|_| ground.command("apply -y").spawn().unwrap())
        .collect();
    let codes: Vec<Option<i32>> = runs.into_iter().map(|run| finish(run).code).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let told = |code: &Option<i32>| matches!(code, Some(0 | 5));
    assert!(codes.iter().all(told), "{codes:?}");
    assert_eq!(ground.machines(), 3);

    // A run that was killed is resumed.
    let ground = Ground::new(&format!("{scheme}://{bucket}/killed"), 4, environment);
    for wait in [100, 300, 600] {
        let mut command = ground.command("apply -y");
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut run = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        run.kill().unwrap();
        run.wait().unwrap();
        finish(ground.command("unlock -y").spawn().unwrap());
    }
    ground.meshvm("apply -y", 0);
    assert_eq!(ground.machines(), 4);
    ground.meshvm("plan --detailed-exitcode", 0);
}

#[cfg(feature = "ledger-az")]
#[test]
fn a_container_of_azure_storage() {
    let server = azurite::Azurite::start();
    server.make_container("acme");
    a_stack_lives_by_it("az", "acme", &server.environment());
}

#[cfg(feature = "ledger-gs")]
#[test]
fn a_bucket_of_cloud_storage() {
    use meshvm_ec2::{Manners, Moto, Proxy};

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let moto = Moto::start();
    let proxy = runtime.block_on(Proxy::start(moto.address(), Manners::default()));
    runtime.block_on(proxy.make_bucket("acmegs")).unwrap();
    let account = serde_json::json!({
        "client_email": "", "private_key": "", "private_key_id": "",
        "disable_oauth": true, "gcs_base_url": proxy.side_door(),
    });
    let environment = [("GOOGLE_SERVICE_ACCOUNT_KEY", account.to_string())];
    a_stack_lives_by_it("gs", "acmegs", &environment);
}
