//! Google's command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use meshvm_gce::Gce;
use serde_json::{Value, json};

use crate::{credentials, narrow};

const ZONE: &str = "europe-west1-b";
/// What machines are made from.
const FROM: [&str; 5] = [
    "--machine-type=e2-small",
    "--image-family=debian-12",
    "--image-project=debian-cloud",
    "--labels=team=a",
    "--zone=europe-west1-b",
];

/// The command line, set to a double and to a folder of its own.
struct Gcloud {
    endpoint: String,
    folder: PathBuf,
    credentials: PathBuf,
}

impl Gcloud {
    fn new(gce: &Gce, folder: &Path) -> Self {
        Self {
            endpoint: gce.endpoint(),
            folder: folder.to_owned(),
            credentials: credentials(gce, folder),
        }
    }

    /// Runs `gcloud compute`; returns what it prints as JSON, or what it complains of.
    fn try_to(&self, words: &str, further: &[&str]) -> Result<Value, String> {
        let ran = Command::new("gcloud")
            .arg("compute")
            .args(words.split(' '))
            .args(further)
            .args(["--format=json", "--quiet"])
            .env("CLOUDSDK_CONFIG", &self.folder)
            .env("CLOUDSDK_CORE_PROJECT", "acme-vms")
            .env("CLOUDSDK_COMPUTE_ZONE", ZONE)
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env("CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE", &self.credentials)
            .env(
                "CLOUDSDK_AUTH_TOKEN_HOST",
                format!("{}/token", self.endpoint),
            )
            .env(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
                format!("{}/compute/v1/", self.endpoint),
            )
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
        // It lists what it gets, and only warns of what it does not.
        if !ran.status.success() || complaint.contains("did not succeed") {
            return Err(complaint);
        }
        match ran.stdout.is_empty() {
            true => Ok(Value::Null),
            false => Ok(serde_json::from_slice(&ran.stdout).unwrap()),
        }
    }

    fn does(&self, words: &str, further: &[&str]) -> Value {
        let done = self.try_to(words, further);
        done.unwrap_or_else(|complaint| panic!("gcloud compute {words}: {complaint}"))
    }

    fn is_refused(&self, why: &str, words: &str, further: &[&str]) {
        let complaint = self.try_to(words, further);
        let complaint = complaint.expect_err("it is refused");
        assert!(complaint.contains(why), "{words}: {complaint}");
    }

    /// Returns the names that a list has.
    fn names(&self, words: &str, further: &[&str]) -> Vec<String> {
        let listed = self.does(words, further);
        let names = listed.as_array().unwrap().iter();
        let mut names: Vec<String> = names
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Returns why an operation of a group failed.
    fn why(&self, group: &str) -> String {
        let filter = format!("--filter=operationGroupId={group} AND operationType=insert");
        let failed = self.does("operations list", &[&filter]);
        let why = failed[0]["error"]["errors"][0]["code"].as_str();
        why.unwrap_or_default().to_owned()
    }

    fn machine(&self, name: &str) -> Value {
        self.does("instances describe", &[name])
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants gcloud, which no package registry carries"]
async fn gcloud_makes_lists_changes_and_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let gce = Gce::start(narrow()).await;
    let gcloud = Gcloud::new(&gce, folder.path());
    let done = tokio::task::spawn_blocking(move || {
        make(&gcloud);
        list(&gcloud);
        change(&gcloud);
        be_refused(&gcloud);
        delete(&gcloud);
    });
    done.await.unwrap();
    assert!(gce.instances().is_empty() && gce.disks().is_empty());
    for (name, count) in gce.calls() {
        println!("{count:>5}  {name}");
    }
}

fn make(gcloud: &Gcloud) {
    let own = [
        &FROM[..],
        &[
            "web-0",
            "--tags=web",
            "--metadata=user-data=#cloud-config",
            "--boot-disk-size=20GB",
            "--boot-disk-type=pd-balanced",
            "--no-address",
            "--subnet=default",
            "--scopes=cloud-platform",
            "--shielded-secure-boot",
            "--provisioning-model=SPOT",
            "--instance-termination-action=DELETE",
        ],
    ];
    let made = gcloud.does("instances create", &own.concat());
    let made = &made[0];
    assert_eq!(made["status"], "RUNNING");
    assert_eq!(made["labels"], json!({"team": "a"}));
    assert_eq!(made["shieldedInstanceConfig"]["enableSecureBoot"], true);
    assert_eq!(made["scheduling"]["preemptible"], true);
    assert_eq!(made["networkInterfaces"][0]["accessConfigs"], Value::Null);
    gcloud.is_refused(
        "already exists",
        "instances create",
        &[&FROM[..], &["web-0"]].concat(),
    );
    let some = [&FROM[..], &["--predefined-names=web-1,web-2"]].concat();
    let made = gcloud.does("instances bulk create", &some);
    assert_eq!(made["createdInstanceCount"], 2, "{made}");
    let some = [&FROM[..], &["--name-pattern=web-0#", "--count=1"]].concat();
    let made = gcloud.does("instances bulk create", &some);
    assert_eq!(made["instances"][0]["name"], "web-01", "{made}");
    // Two at once are a batch of calls, of which the quota has room for one.
    let two = [&FROM[..], &["web-3", "web-4"]].concat();
    gcloud.is_refused("Quota 'INSTANCES' exceeded", "instances create", &two);
    let one = [&FROM[..], &["--predefined-names=web-5"]].concat();
    // Of what was not made in bulk it tells a number, and its operation why.
    let made = gcloud.does("instances bulk create", &one);
    assert_eq!(made["failedInstanceCount"], 1, "{made}");
    let group = made["operationGroupId"].as_str().unwrap();
    assert_eq!(gcloud.why(group), "QUOTA_EXCEEDED");
}

fn list(gcloud: &Gcloud) {
    let all = ["web-0", "web-01", "web-1", "web-2", "web-3"];
    assert_eq!(gcloud.names("instances list", &[]), all);
    let here = ["--zones=europe-west1-b", "--page-size=1"];
    assert_eq!(gcloud.names("instances list", &here), all);
    let filter = ["--filter=labels.team=a AND name:web-1"];
    assert_eq!(gcloud.names("instances list", &filter), ["web-1"]);
    assert_eq!(
        gcloud.names("instances list", &["--filter=labels.team=b"]),
        [""; 0]
    );
    assert_eq!(gcloud.names("disks list", &[]), all);
    let begun = gcloud.does("operations list", &["--filter=operationType=bulkInsert"]);
    assert_eq!(begun.as_array().unwrap().len(), 3, "{begun}");
    let name = begun[0]["name"].as_str().unwrap();
    let seen = gcloud.does("operations describe", &[name, "--zone", ZONE]);
    assert_eq!(seen["status"], "DONE");
    assert_eq!(gcloud.names("zones list", &[]).len(), 5);
    let types = ["--zones=europe-west1-b", "--filter=name=e2-small"];
    assert_eq!(gcloud.names("machine-types list", &types), ["e2-small"]);
    let family = ["debian-12", "--project=debian-cloud"];
    let image = gcloud.does("images describe-from-family", &family);
    assert_eq!(image["family"], "debian-12");
}

fn change(gcloud: &Gcloud) {
    let labels = ["web-0", "--update-labels=tier=1", "--remove-labels=team"];
    gcloud.does("instances update", &labels);
    gcloud.does("instances add-tags", &["web-0", "--tags=canary"]);
    gcloud.does("instances add-metadata", &["web-0", "--metadata=x=y"]);
    let seen = gcloud.machine("web-0");
    assert_eq!(seen["labels"], json!({"tier": "1"}));
    assert_eq!(seen["tags"]["items"], json!(["canary", "web"]));
    assert_eq!(
        seen["metadata"]["items"][1],
        json!({"key": "x", "value": "y"})
    );

    let bigger = ["web-0", "--machine-type=e2-medium"];
    let words = "instances set-machine-type";
    gcloud.is_refused("must be stopped", words, &bigger);
    gcloud.is_refused("It failed on purpose", "instances stop", &["web-0"]);
    gcloud.does("instances stop", &["web-0"]);
    assert_eq!(gcloud.machine("web-0")["status"], "TERMINATED");
    gcloud.does(words, &bigger);
    gcloud.does("instances start", &["web-0"]);
    let seen = gcloud.machine("web-0");
    assert_eq!(seen["status"], "RUNNING");
    let kind = seen["machineType"].as_str().unwrap();
    assert!(kind.ends_with("/e2-medium"), "{kind}");

    gcloud.does("instances update", &["web-1", "--deletion-protection"]);
    gcloud.is_refused("protected", "instances delete", &["web-1"]);
    gcloud.does("instances update", &["web-1", "--no-deletion-protection"]);
}

fn be_refused(gcloud: &Gcloud) {
    gcloud.is_refused("was not found", "instances describe", &["none"]);
    let wrong = [&FROM[..], &["Bad_Name"]].concat();
    gcloud.is_refused("Invalid value for field", "instances create", &wrong);
    let kind = [&FROM[1..], &["bad", "--machine-type=no-such-type"]].concat();
    gcloud.is_refused("Invalid value for field", "instances create", &kind);
    let family = ["none", "--project=debian-cloud"];
    gcloud.is_refused("was not found", "images describe-from-family", &family);
    let labels = ["web-1", "--update-labels=a.b=c"];
    assert!(gcloud.try_to("instances update", &labels).is_err());
}

fn delete(gcloud: &Gcloud) {
    gcloud.does("instances delete", &["web-0"]);
    let all = ["web-01", "web-1", "web-2", "web-3"];
    gcloud.does("instances delete", &all);
    assert_eq!(gcloud.names("instances list", &[]), [""; 0]);
    let rare = [
        "--machine-type=t2a-standard-1",
        "--image-family=debian-12-arm64",
        "--image-project=debian-cloud",
        "--predefined-names=arm-0,arm-1",
        "--min-count=1",
        "--zone=europe-west1-b",
    ];
    let made = gcloud.does("instances bulk create", &rare);
    assert_eq!(made["createdInstanceCount"], 1, "{made}");
    assert_eq!(made["failedInstanceCount"], 1, "{made}");
    let left = gcloud.names("instances list", &[]);
    assert_eq!(left.len(), 1, "{left:?}");
    gcloud.does("instances delete", &[&left[0]]);
}
