//! A stack as it stands, as data and as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use meshvm_provider_api::{Power, Readiness};
use serde::Serialize;

use super::{ADD, CHANGE, FAINT, REMOVE, STRONG, counted, paint};
use crate::desired::Desired;
use crate::mesh::MACHINE_LABEL;
use crate::observed::Observed;
use crate::plan::Plan;

/// A stack as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The stack.
    pub stack: String,
    /// Its fleets, by name.
    pub fleets: BTreeMap<String, FleetStatus>,
    /// Objects of the mesh that belong to it.
    pub objects: usize,
    /// Whether an apply would change anything.
    pub pending: bool,
}

/// A fleet as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// How many machines the file asks for; absent when the file has no such fleet.
    pub replicas: Option<u32>,
    /// Its machines.
    pub machines: Vec<MachineStatus>,
}

/// A machine as it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its zone.
    pub zone: String,
    /// Whether it runs.
    pub power: Power,
    /// How far its bootstrap came.
    pub readiness: Readiness,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Whether it has an entry in the mesh.
    pub registered: bool,
    /// Whether it is what the file asks for.
    pub current: bool,
}

/// Puts together what there is to say about a stack.
pub fn status(desired: &Desired, observed: &Observed, plan: &Plan) -> Status {
    let mut fleets: BTreeMap<String, FleetStatus> = desired
        .fleets
        .iter()
        .map(|(name, fleet)| {
            let status = FleetStatus {
                replicas: Some(fleet.replicas),
                machines: Vec::new(),
            };
            (name.clone(), status)
        })
        .collect();
    let registered: BTreeSet<&str> = observed
        .objects
        .iter()
        .filter_map(|seen| seen.object.label(MACHINE_LABEL))
        .collect();
    let changing: BTreeSet<&str> = plan
        .changes()
        .flat_map(|(_, change)| &change.machines)
        .map(|machine| machine.name.as_str())
        .collect();
    for seen in &observed.machines {
        let machine = &seen.machine;
        let Some(owned) = seen.ownership() else {
            continue;
        };
        fleets
            .entry(owned.fleet)
            .or_default()
            .machines
            .push(MachineStatus {
                name: machine.name.clone(),
                id: machine.id.to_string(),
                zone: machine.zone.clone(),
                power: machine.power,
                readiness: machine.readiness.clone(),
                address: machine.address,
                registered: registered.contains(machine.name.as_str()),
                current: !changing.contains(machine.name.as_str()),
            });
    }
    Status {
        stack: desired.stack.clone(),
        fleets,
        objects: observed.objects.len(),
        pending: !plan.is_empty(),
    }
}

/// Returns a stack as a table.
pub fn table(status: &Status) -> String {
    let mut rows = vec![
        [
            "FLEET", "MACHINE", "ZONE", "STATE", "ADDRESS", "MESH", "SPEC",
        ]
        .map(|h| paint(STRONG, h)),
    ];
    for (fleet, status) in &status.fleets {
        let ready = status.machines.iter().filter(|m| is_ready(m)).count();
        let wanted = status.replicas.map_or("0".to_owned(), |n| n.to_string());
        let first = format!("{fleet} {ready}/{wanted}");
        if status.machines.is_empty() {
            rows.push([
                first.clone(),
                "-".into(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        for (index, machine) in status.machines.iter().enumerate() {
            rows.push([
                if index == 0 {
                    first.clone()
                } else {
                    String::new()
                },
                machine.name.clone(),
                machine.zone.clone(),
                state(machine),
                machine.address.map_or("-".to_owned(), |a| a.to_string()),
                if machine.registered {
                    paint(ADD, "registered")
                } else {
                    paint(FAINT, "-")
                },
                if machine.current {
                    "current".to_owned()
                } else {
                    paint(CHANGE, "to change")
                },
            ]);
        }
    }
    let mut text = columns(&rows);
    text.push('\n');
    // Below the table: a long reason would make every line of it long.
    for machine in status.fleets.values().flat_map(|fleet| &fleet.machines) {
        if let Readiness::Failed { reason } = &machine.readiness {
            text.push_str(&format!(
                "{} {}: {reason}\n",
                paint(REMOVE, "✗"),
                machine.name
            ));
        }
    }
    text.push_str(&format!(
        "{} in the mesh. {}\n",
        counted(status.objects as u64, "object"),
        if status.pending {
            "Changes are pending: `meshvm plan` shows them."
        } else {
            "No changes are pending."
        }
    ));
    text
}

fn is_ready(machine: &MachineStatus) -> bool {
    machine.power == Power::Running
        && matches!(machine.readiness, Readiness::Ready | Readiness::Unknown)
}

fn state(machine: &MachineStatus) -> String {
    match (machine.power, &machine.readiness) {
        (Power::Running, Readiness::Ready) => paint(ADD, "ready"),
        (Power::Running, Readiness::Unknown) => paint(ADD, "running"),
        (Power::Running, Readiness::Waiting) => paint(CHANGE, "bootstrapping"),
        (Power::Running, Readiness::Failed { .. }) => paint(REMOVE, "failed"),
        (Power::Starting, _) => paint(CHANGE, "starting"),
        (Power::Stopped, _) => paint(REMOVE, "stopped"),
        (Power::Broken, _) => paint(REMOVE, "broken"),
    }
}

/// Lays rows out in columns; colours take no width.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |text: &str| {
        anstream::adapter::strip_str(text)
            .to_string()
            .chars()
            .count()
    };
    let mut widths = [0; N];
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            widths[column] = widths[column].max(width(cell));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            line.push_str(&" ".repeat(widths[column] - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
