//! Azure's command line uses the double as it uses Azure.

use std::path::{Path, PathBuf};
use std::process::Command;

use meshvm_arm::{Arm, Authority, GROUP, LOCATION, Manners, SECRET, TENANT};
use serde_json::{Value, json};

/// What every machine is made with.
const FROM: [&str; 8] = [
    "--image=Debian:debian-12:12-gen2:latest",
    "--size=Standard_D2s_v5",
    "--vnet-name=net",
    "--subnet=default",
    "--public-ip-address=",
    "--nsg=mesh",
    "--admin-username=azureuser",
    "--ssh-key-values=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3Rk0y0V5R0Jc1Hk0lJqk0fX0Qm9r7yqg3n1m7tq0Zx a",
];

/// The command line, with a folder of its own.
struct Az {
    program: PathBuf,
    folder: PathBuf,
    certificate: PathBuf,
}

impl Az {
    /// Runs `az`; returns what it prints as JSON, or what it complains of.
    fn try_to(&self, words: &str, further: &[&str]) -> Result<Value, String> {
        let ran = Command::new(&self.program)
            .args(words.split(' '))
            .args(further)
            .arg("--output=json")
            .env("AZURE_CONFIG_DIR", &self.folder)
            .env("REQUESTS_CA_BUNDLE", &self.certificate)
            .env("AZURE_CORE_COLLECT_TELEMETRY", "no")
            // There is no directory of directories to ask whether this one is real.
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .output()
            .unwrap();
        if !ran.status.success() {
            return Err(String::from_utf8_lossy(&ran.stderr).into_owned());
        }
        match ran.stdout.is_empty() {
            true => Ok(Value::Null),
            false => Ok(serde_json::from_slice(&ran.stdout).unwrap()),
        }
    }

    fn does(&self, words: &str, further: &[&str]) -> Value {
        let done = self.try_to(words, further);
        done.unwrap_or_else(|complaint| panic!("az {words}: {complaint}"))
    }

    fn is_refused(&self, why: &str, words: &str, further: &[&str]) {
        let complaint = self.try_to(words, further);
        let complaint = complaint.expect_err("it is refused");
        assert!(complaint.contains(why), "{words}: {complaint}");
    }

    /// Returns the names that a list has.
    fn names(&self, words: &str) -> Vec<String> {
        let listed = self.does(words, &[]);
        let names = listed.as_array().unwrap().iter();
        let mut names: Vec<String> = names
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    fn power(&self, name: &str) -> Value {
        let seen = self.does("vm show -d -g shop -n", &[name]);
        seen["powerState"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "wants Azure's command line, 750 MB that tests/fakes/arm/az installs"]
async fn az_makes_lists_changes_and_deletes() {
    let setup = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("az")).output();
    let setup = setup.unwrap();
    assert!(setup.status.success(), "{setup:?}");
    let program = String::from_utf8(setup.stdout).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::in_folder(folder.path());
    let manners = Manners {
        pending: 1,
        page: 2,
        older: true,
        ..Manners::default()
    };
    let arm = Arm::start(&authority, manners).await;
    let az = Az {
        program: PathBuf::from(program.trim()),
        folder: folder.path().join("az"),
        certificate: authority.certificate(),
    };
    let endpoint = arm.endpoint();
    let done = tokio::task::spawn_blocking(move || {
        log_in(&az, &endpoint);
        make(&az);
        change(&az);
        be_refused(&az);
        own_group(&az);
        delete(&az);
    });
    done.await.unwrap();
    assert_eq!(arm.machines(), []);
    assert_eq!(arm.parts(), [""; 0]);
    for (name, count) in arm.calls() {
        println!("{count:>5}  {name}");
    }
}

fn log_in(az: &Az, endpoint: &str) {
    let cloud = ["-n", "double", "--endpoint-resource-manager", endpoint];
    az.does("cloud register", &cloud);
    az.does("cloud set -n double", &[]);
    let words = "login --service-principal -u any";
    az.is_refused("AADSTS", words, &["-p", "wrong", "--tenant", TENANT]);
    let account = az.does(words, &["-p", SECRET, "--tenant", TENANT]);
    assert_eq!(account[0]["state"], "Enabled");
    assert_eq!(az.names("account list-locations"), [LOCATION]);
}

fn make(az: &Az) {
    let own = [
        "--tags=team=a",
        "--zone=1",
        "--nic-delete-option=Delete",
        "--os-disk-delete-option=Delete",
    ];
    for name in ["web-0", "web-1", "web-2"] {
        let given = [&FROM[..], &own, &["-n", name]].concat();
        let made = az.does("vm create -g shop", &given);
        assert_eq!(made["powerState"], "VM running", "{made}");
        assert!(
            made["privateIpAddress"]
                .as_str()
                .unwrap()
                .starts_with("10.")
        );
    }
    let all = ["web-0", "web-1", "web-2"];
    assert_eq!(az.names("vm list -g shop"), all);
    assert_eq!(az.names("vm list"), all);
    let seen = az.does("vm show -g shop -n web-0", &[]);
    assert_eq!(seen["tags"], json!({"team": "a"}));
    assert_eq!(seen["zones"], json!(["1"]));
    let image = &seen["storageProfile"]["imageReference"];
    assert_eq!(image["sku"], "12-gen2", "{image}");
    assert_eq!(az.names("disk list -g shop").len(), 3);
    assert_eq!(az.names("network nic list -g shop").len(), 3);
}

fn change(az: &Az) {
    let changed = az.does("vm update -g shop -n web-0 --set tags.team=b", &[]);
    assert_eq!(changed["tags"], json!({"team": "b"}));
    az.does("vm stop -g shop -n web-0", &[]);
    assert_eq!(az.power("web-0"), "VM stopped");
    az.does("vm deallocate -g shop -n web-0", &[]);
    assert_eq!(az.power("web-0"), "VM deallocated");
    let resized = az.does("vm resize -g shop -n web-0 --size Standard_D4s_v5", &[]);
    assert_eq!(resized["hardwareProfile"]["vmSize"], "Standard_D4s_v5");
    az.does("vm start -g shop -n web-0", &[]);
    assert_eq!(az.power("web-0"), "VM running");
}

fn be_refused(az: &Az) {
    az.is_refused("ResourceNotFound", "vm show -g shop -n none", &[]);
    az.is_refused("ResourceGroupNotFound", "vm list -g none", &[]);
    let size = [
        &FROM[..1],
        &FROM[2..],
        &["-n", "bad", "--size=Standard_None"],
    ]
    .concat();
    az.is_refused("Standard_None is no VM size", "vm create -g shop", &size);
    let image = [
        &FROM[1..],
        &["-n", "bad", "--image=Debian:debian-12:none:latest"],
    ]
    .concat();
    az.is_refused("was not found", "vm create -g shop", &image);
    let words = "network nic delete -g shop -n web-0VMNic";
    az.is_refused("in use", words, &[]);
}

/// A group of its own goes with all that is in it.
fn own_group(az: &Az) {
    az.does("group create -n own", &["-l", LOCATION]);
    let space = "--address-prefixes=10.9.0.0/16 --subnet-name=a --subnet-prefixes=10.9.0.0/24";
    let words = format!("network vnet create -g own -n net2 {space}");
    az.does(&words, &[]);
    az.does(
        "network nic create -g own -n n --vnet-name net2 --subnet a",
        &[],
    );
    let given = [&FROM[..2], &FROM[6..], &["-n", "w", "--nics=n"]].concat();
    az.does("vm create -g own", &given);
    assert_eq!(az.names("vm list -g own"), ["w"]);
    az.does("group delete -n own -y", &[]);
    assert_eq!(az.does("group exists -n own", &[]), false);
}

fn delete(az: &Az) {
    assert_eq!(GROUP, "shop");
    for name in ["web-0", "web-1", "web-2"] {
        // What is marked to go with a machine goes.
        az.does("vm delete -y -g shop -n", &[name]);
    }
    assert_eq!(az.names("vm list -g shop"), [""; 0]);
    assert_eq!(az.names("disk list -g shop"), [""; 0]);
    // An interface whose machine was refused stays: a deployment that fails takes nothing back.
    assert_eq!(az.names("network nic list -g shop"), ["badVMNic"]);
    az.does("network nic delete -g shop -n badVMNic", &[]);
}
