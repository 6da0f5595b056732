//! What must be true of a world: always, and when everything was done that was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use meshvm::desired::{Desired, DesiredFleet};
use meshvm::mesh::manifests::{file_name, render};
use meshvm::mesh::{Object, objects};
use meshvm_provider_api::{Kind, Labels, Machine, Power, Readiness, labels};
use meshvm_provider_sim::SimKind;

use super::{File, Fleet, STACK, World, of_fleet};

/// Files in the mesh folder that are somebody else's.
const OTHERS_FILES: [(&str, &str); 3] = [
    (
        "vm/workloadentry-web-of-others.yaml",
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata:\n  name: web-of-others\n  namespace: vm\n  labels:\n    meshvm-stack: other\n    meshvm-fleet: web\n    meshvm-machine: web-of-others\nspec:\n  address: 10.9.9.9\n",
    ),
    (
        "vm/configmap-plain.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: vm}\n",
    ),
    ("README.md", "Here be manifests.\n"),
];

impl World {
    /// Puts machines and files into the world that are not the stack's.
    pub(super) fn settle_others(&self) {
        let is_others = [
            ("other-plain", Labels::new()),
            ("other-stack", all_labels("other", "web")),
            (
                "other-fleet",
                Labels::from([(labels::FLEET.to_owned(), "web".to_owned())]),
            ),
        ];
        for (number, (name, labels)) in (1..).zip(is_others) {
            self.add_foreign(outsider(name, number, labels));
        }
        if self.has_mesh {
            for (path, text) in OTHERS_FILES {
                let path = self.mesh_folder().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
    }

    /// Checks what must be true at every moment.
    pub fn valid(&self) -> Result<(), String> {
        self.guard.verdict()?;
        let machines = self.cloud.machines().unwrap();
        for foreign in self.foreign.borrow().iter() {
            let now = machines.iter().find(|machine| machine.id == foreign.id);
            if now != Some(foreign) {
                return Err(format!(
                    "not the stack's, and changed: {foreign:?} to {now:?}"
                ));
            }
        }
        let mut names = BTreeSet::new();
        for machine in own(&machines) {
            if !names.insert(&machine.name) {
                return Err(format!("two machines are named {}", machine.name));
            }
            let lacks = |label: &&str| machine.labels.get(*label).is_none_or(String::is_empty);
            let lacking: Vec<_> = labels::ALWAYS.into_iter().filter(lacks).collect();
            let is_adopted = lacking == [labels::BATCH, labels::USER_DATA];
            if !lacking.is_empty() && !is_adopted {
                return Err(format!("{} lacks {lacking:?}", machine.name));
            }
        }
        if self.has_mesh {
            for (path, text) in OTHERS_FILES {
                let now = fs::read_to_string(self.mesh_folder().join(path));
                if !now.as_ref().is_ok_and(|now| now == text) {
                    return Err(format!("{path} is not the stack's, and is now {now:?}"));
                }
            }
        }
        Ok(())
    }

    /// Checks that there is exactly what is desired: machines, and files of the mesh.
    pub fn exact(&self, desired: &Desired) -> Result<(), String> {
        self.valid()?;
        let machines = self.cloud.machines().unwrap();
        for machine in own(&machines) {
            let fleet = machine.labels.get(labels::FLEET);
            if !fleet.is_some_and(|fleet| desired.fleets.contains_key(fleet)) {
                return Err(format!("{} is an orphan of {fleet:?}", machine.name));
            }
        }
        for (name, fleet) in &desired.fleets {
            let machines: Vec<&Machine> = of_fleet(&machines, name).collect();
            is_right(fleet, &machines).map_err(|problem| format!("fleet {name}: {problem}"))?;
        }
        self.exact_files(desired, &machines)
    }

    fn exact_files(&self, desired: &Desired, machines: &[Machine]) -> Result<(), String> {
        if !self.has_mesh {
            return Ok(());
        }
        let mut wanted: BTreeMap<PathBuf, String> = OTHERS_FILES
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect();
        let mut want = |object: Object| {
            let text = render(STACK, &object).unwrap();
            wanted.insert(file_name(&object.reference).into(), text);
        };
        for (name, fleet) in &desired.fleets {
            let Some(side) = fleet.side() else {
                continue;
            };
            let own = objects::of_fleet(STACK, name, side);
            let entries = of_fleet(machines, name).filter_map(|machine| {
                objects::entry(
                    STACK,
                    name,
                    side,
                    machine,
                    fleet.template.scope.locality(&machine.zone),
                )
            });
            own.into_iter().chain(entries).for_each(&mut want);
        }
        for (name, machine) in self.let_go.borrow().iter() {
            let fleet = desired.fleets.get(name);
            let side = fleet.and_then(DesiredFleet::side);
            let now = machines.iter().find(|now| now.id == machine.id);
            let is_free = now.is_some_and(|now| !now.labels.contains_key(labels::STACK));
            if let (Some(side), true) = (side, is_free) {
                let locality = fleet.and_then(|fleet| fleet.template.scope.locality(&machine.zone));
                let entry = objects::entry(STACK, name, side, machine, locality);
                want(entry.unwrap().released());
            }
        }
        let mut found = BTreeMap::new();
        read_all(&self.mesh_folder(), Path::new(""), &mut found);
        if self.ignores_released.get() {
            let is_released = |text: &str| text.starts_with("# Released");
            wanted.retain(|_, text| !is_released(text));
            found.retain(|_, text| !is_released(text));
        }
        for (path, text) in &wanted {
            match found.remove(path) {
                Some(has) if has == *text => {}
                Some(has) => return Err(format!("{path:?} is\n{has}and should be\n{text}")),
                None => return Err(format!("{path:?} is not in the mesh")),
            }
        }
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("too much in the mesh: {:?}", found.keys()))
        }
    }

    /// Checks that there is exactly what is desired, and that the next plan has nothing to do.
    pub fn settled(&self, desired: &Desired) -> Result<(), String> {
        self.exact(desired)?;
        match self.plan(desired) {
            Ok(plan) if plan.is_empty() && plan.drift.is_empty() => Ok(()),
            Ok(plan) => Err(format!(
                "the plan is not empty:\n{}{:?}",
                meshvm::show::plan::plan(&plan),
                plan.waiting
            )),
            Err(error) => Err(format!("no plan: {}", meshvm::apply::worker::chain(&error))),
        }
    }
}

/// Checks that machines are what their fleet asks for, in number, place and kind.
fn is_right(fleet: &DesiredFleet, machines: &[&Machine]) -> Result<(), String> {
    if machines.len() != fleet.replicas as usize {
        let names: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
        return Err(format!("{names:?}, not {} machines", fleet.replicas));
    }
    let mut by_zone: BTreeMap<&str, usize> = fleet
        .template
        .zones
        .iter()
        .map(|z| (z.as_str(), 0))
        .collect();
    for machine in machines {
        match by_zone.get_mut(machine.zone.as_str()) {
            Some(count) => *count += 1,
            None => return Err(format!("{} is in zone {}", machine.name, machine.zone)),
        }
        let differences = SimKind::new().compare(&fleet.template, machine);
        if !differences.is_empty() {
            return Err(format!("{} differs in {differences:?}", machine.name));
        }
        let is = |label: &str, wanted: &str| machine.labels.get(label).is_some_and(|l| l == wanted);
        if !is(labels::SPEC, fleet.spec.as_str()) {
            return Err(format!("{} has another spec", machine.name));
        }
        let user_data = machine.labels.get(labels::USER_DATA);
        if user_data.is_some_and(|hash| hash != fleet.boot.user_data.as_str()) {
            return Err(format!("{} has other user-data", machine.name));
        }
        if let Some((label, _)) = fleet.labels.iter().find(|(label, value)| !is(label, value)) {
            return Err(format!("{} lacks the label {label}", machine.name));
        }
        if !machine.is_available() {
            return Err(format!("{} is not available", machine.name));
        }
    }
    let most = by_zone.values().max().copied().unwrap_or(0);
    let least = by_zone.values().min().copied().unwrap_or(0);
    if most - least > 1 {
        return Err(format!("zones out of balance: {by_zone:?}"));
    }
    Ok(())
}

/// Makes a machine as somebody else might, from the template of a plain fleet.
pub fn outsider(name: &str, number: u8, labels: Labels) -> Machine {
    let template = File::of([("web", Fleet::of(1))]).desired().fleets["web"]
        .template
        .clone();
    Machine {
        id: name.into(),
        name: name.to_owned(),
        zone: "a".to_owned(),
        power: Power::Running,
        readiness: Readiness::Unknown,
        address: Some(IpAddr::from([192, 168, 0, number])),
        labels,
        attributes: template.attributes,
    }
}

fn own(machines: &[Machine]) -> impl Iterator<Item = &Machine> {
    let is_own = |machine: &&Machine| {
        machine
            .labels
            .get(labels::STACK)
            .is_some_and(|s| s == STACK)
    };
    machines.iter().filter(is_own)
}

fn all_labels(stack: &str, fleet: &str) -> Labels {
    labels::Ownership {
        stack: stack.to_owned(),
        fleet: fleet.to_owned(),
        batch: None,
        spec: labels::Hash::of("theirs"),
        user_data: None,
    }
    .labels()
}

fn read_all(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let Ok(entries) = fs::read_dir(root.join(below)) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read_all(root, &path, found);
        } else {
            found.insert(path.clone(), fs::read_to_string(root.join(path)).unwrap());
        }
    }
}
