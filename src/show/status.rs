//! A stack as it stands, as data and as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use meshvm_provider_api::{Power, Readiness};
use serde::Serialize;

use super::{ADD, CHANGE, FAINT, REMOVE, STRONG, counted, few, paint};
use crate::desired::Desired;
use crate::many::alike;
use crate::mesh::{MACHINE_LABEL, MeshState, Object};
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
    /// Why the mesh was not read; null when it was.
    pub mesh_unread: Option<String>,
    /// Objects of the mesh that belong to it; null when the mesh was not read.
    pub objects: Option<usize>,
    /// Entries in the mesh whose machines do not exist, by name.
    pub stale: Vec<String>,
    /// Whether an apply would change anything; null when the mesh was not read.
    pub pending: Option<bool>,
}

/// A fleet as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetStatus {
    /// How many machines the file asks for; absent when the file has no such fleet.
    pub replicas: Option<u32>,
    /// Whether its machines are to have entries in the mesh.
    pub in_mesh: bool,
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
    /// What the mesh knows of it.
    pub mesh: MeshState,
    /// Whether it is what the file asks for; null when the mesh was not read, since that depends on
    /// what machines are told of it.
    pub current: Option<bool>,
}

/// What is known of a stack beside its machines.
pub enum Known<'a> {
    /// What an apply would do.
    All(&'a Plan),
    /// Nothing: the mesh was not read.
    Unread {
        /// Why.
        why: &'a str,
    },
}

/// Puts together what there is to say about a stack.
pub fn status(desired: &Desired, observed: &Observed, known: &Known<'_>) -> Status {
    let registered = &observed.registered;
    let (plan, unread) = match known {
        Known::All(plan) => (Some(*plan), None),
        Known::Unread { why } => (None, Some((*why).to_owned())),
    };
    let mut fleets: BTreeMap<String, FleetStatus> = desired
        .fleets
        .iter()
        .map(|(name, fleet)| {
            let status = FleetStatus {
                replicas: Some(fleet.replicas),
                in_mesh: plan.is_some_and(|it| it.context.mesh.is_some()) && fleet.side().is_some(),
                machines: Vec::new(),
            };
            (name.clone(), status)
        })
        .collect();
    let entries: BTreeMap<&str, &Object> = observed
        .objects
        .iter()
        .filter_map(|seen| Some((seen.object.label(MACHINE_LABEL)?, &seen.object)))
        .collect();
    let changing: Option<BTreeSet<&str>> = plan.map(|plan| {
        let machines = plan.changes().flat_map(|(_, change)| &change.machines);
        machines.map(|machine| machine.name.as_str()).collect()
    });
    for seen in &observed.machines {
        let machine = &seen.machine;
        let Some(owned) = seen.ownership() else {
            continue;
        };
        let by_itself = |fleet: &str| {
            let members = registered.get(fleet)?;
            Some(members.registered(machine.address).clone())
        };
        let mesh = match entries.get(machine.name.as_str()) {
            Some(entry) => match entry.body["spec"]["address"].as_str() {
                Some(other) if machine.address.is_some_and(|a| a.to_string() != other) => {
                    MeshState::Unhealthy {
                        reason: format!("its entry has the address {other}, which is not its own"),
                    }
                }
                Some(_) | None => MeshState::of(&entry.body),
            },
            None => by_itself(&owned.fleet).unwrap_or(MeshState::Unknown),
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
                mesh,
                current: changing
                    .as_ref()
                    .map(|changing| !changing.contains(machine.name.as_str())),
            });
    }
    let machines = || observed.machines.iter().map(|seen| &seen.machine);
    let named = entries.into_keys();
    let named = named.filter(|name| machines().all(|machine| machine.name != *name));
    let addresses: BTreeSet<String> = machines()
        .filter_map(|machine| Some(machine.address?.to_string()))
        .collect();
    let by_itself = registered.values();
    let by_itself = by_itself.flat_map(|members| &members.by_address);
    let by_itself = by_itself.filter(|(address, _)| !addresses.contains(*address));
    Status {
        stack: desired.stack.clone(),
        fleets,
        objects: plan.map(|_| observed.objects.len()),
        stale: named
            .chain(by_itself.map(|(_, member)| member.entry.reference.name.as_str()))
            .map(str::to_owned)
            .collect(),
        pending: plan.map(|plan| !plan.is_empty()),
        mesh_unread: unread,
    }
}

/// Returns a stack as a table.
pub fn table(stack: &Status) -> String {
    let mut rows = vec![
        [
            "FLEET", "MACHINE", "ZONE", "STATE", "ADDRESS", "MESH", "SPEC",
        ]
        .map(|h| paint(STRONG, h)),
    ];
    for (fleet, status) in &stack.fleets {
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
                match &stack.mesh_unread {
                    Some(_) => paint(FAINT, "unknown"),
                    None => mesh(machine),
                },
                match machine.current {
                    Some(true) => "current".to_owned(),
                    Some(false) => paint(CHANGE, "to change"),
                    None => paint(FAINT, "unknown"),
                },
            ]);
        }
    }
    let mut text = columns(&rows);
    text.push('\n');
    // Below the table: a long reason would make every line of it long.
    for (names, reason) in troubles(stack) {
        let sign = paint(REMOVE, "✗");
        let names = few(names.into_iter());
        text.push_str(&format!("{sign} {names}: {reason}\n"));
    }
    if let Some(objects) = stack.objects {
        let objects = counted(objects as u64, "object");
        text.push_str(&format!("{objects} in the mesh. "));
    }
    text.push_str(match stack.pending {
        Some(true) => "Changes are pending: `meshvm plan` shows them.\n",
        Some(false) => "No changes are pending.\n",
        None => "The mesh was not read, and so it is not known whether changes are pending.\n",
    });
    text
}

/// Returns what is wrong, with the names of those with whom it is.
fn troubles(status: &Status) -> Vec<(Vec<&str>, &str)> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for fleet in status.fleets.values() {
        for machine in &fleet.machines {
            let name = machine.name.as_str();
            if let Readiness::Failed { reason } = &machine.readiness {
                found.push((name, reason));
            }
            // One that is not up yet need not be known.
            let is_late = fleet.in_mesh && is_ready(machine);
            if let Some(reason) = machine.mesh.trouble()
                && (is_late || machine.mesh != MeshState::Unknown)
            {
                found.push((name, reason));
            }
        }
    }
    let stale = status.stale.iter();
    found.extend(stale.map(|name| (name.as_str(), "an entry in the mesh without a machine")));
    let told = alike(found, |(_, reason)| Some(*reason)).into_iter();
    told.map(|alike| {
        let reason = alike[0].1;
        (alike.into_iter().map(|(name, _)| name).collect(), reason)
    })
    .collect()
}

fn mesh(machine: &MachineStatus) -> String {
    match machine.mesh {
        MeshState::Unknown => paint(FAINT, "-"),
        MeshState::Registered => paint(ADD, "registered"),
        MeshState::Healthy => paint(ADD, "healthy"),
        MeshState::Unhealthy { .. } => paint(REMOVE, "unhealthy"),
    }
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
        (Power::Gone, _) => paint(REMOVE, "gone"),
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
