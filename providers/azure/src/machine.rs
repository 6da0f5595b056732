//! A machine of Azure's as meshvm knows it. Pure.

use meshvm_provider_api::{Labels, Machine, MachineId, Power, Readiness};

use crate::attributes;
use crate::tags;
use crate::wire::{Interface, View, Vm};

/// Returns a machine; `None` when it is on its way out.
pub(crate) fn of(vm: &Vm, view: Option<&View>, interface: Option<&Interface>) -> Option<Machine> {
    Some(Machine {
        id: MachineId(vm.name.clone()),
        name: vm.name.to_ascii_lowercase(),
        zone: match vm.zones.first() {
            Some(number) => format!("{}-{number}", vm.location),
            None => vm.location.clone(),
        },
        power: power(vm, view)?,
        readiness: Readiness::Unknown,
        address: interface
            .and_then(|interface| interface.address.as_ref())
            .and_then(|text| text.parse().ok()),
        attributes: attributes::seen(vm, interface),
        labels: vm.tags.clone(),
    })
}

/// Returns what is left of a machine that is gone, as a machine that will not run again, so that
/// it is deleted as one.
pub(crate) fn left_over(interface: &Interface) -> Option<Machine> {
    let name = interface.tags.get(tags::MACHINE)?;
    let labels: Labels = interface.tags.clone();
    Some(Machine {
        id: MachineId(name.clone()),
        name: name.clone(),
        zone: interface.location.clone(),
        power: Power::Broken,
        readiness: Readiness::Unknown,
        address: None,
        attributes: attributes::of_tags(&labels),
        labels,
    })
}

/// Returns whether it could not be made and does not run.
pub(crate) fn is_failed(vm: &Vm, view: Option<&View>) -> bool {
    power(vm, view) == Some(Power::Broken)
}

fn power(vm: &Vm, view: Option<&View>) -> Option<Power> {
    let view = vm.properties.instance_view.as_ref().or(view);
    let state = view.and_then(|view| {
        let mut codes = view.statuses.iter().map(|status| status.code.as_str());
        codes.find_map(|code| code.strip_prefix("PowerState/"))
    });
    let is = |wanted: &str| {
        vm.properties
            .provisioning_state
            .eq_ignore_ascii_case(wanted)
    };
    Some(match state {
        _ if is("Deleting") => return None,
        Some("running") if is("Creating") => Power::Starting,
        Some("running") => Power::Running,
        Some("stopping" | "stopped" | "deallocating" | "deallocated") => Power::Stopped,
        Some("starting" | "creating") => Power::Starting,
        // Not one that stopped, and not one that runs: it was never brought up.
        Some(_) | None if is("Failed") || is("Canceled") => Power::Broken,
        // It exists, and is not known to run.
        Some(_) | None => Power::Starting,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn vm(provisioning: &str, state: &str) -> (Vm, View) {
        let vm: Value = json!({
            "name": "web-1", "location": "westeurope", "zones": ["2"],
            "properties": {"provisioningState": provisioning},
        });
        let view = match state {
            "" => json!({}),
            state => json!({"statuses": [{"code": "ProvisioningState/x"}, {"code": state}]}),
        };
        (
            serde_json::from_value(vm).unwrap(),
            serde_json::from_value(view).unwrap(),
        )
    }

    #[test]
    fn each_state_has_its_power() {
        for (provisioning, state, power) in [
            ("Creating", "", Some(Power::Starting)),
            ("Creating", "PowerState/running", Some(Power::Starting)),
            ("Succeeded", "", Some(Power::Starting)),
            ("Succeeded", "PowerState/running", Some(Power::Running)),
            ("Succeeded", "PowerState/stopped", Some(Power::Stopped)),
            ("Succeeded", "PowerState/deallocated", Some(Power::Stopped)),
            ("Updating", "PowerState/running", Some(Power::Running)),
            ("Failed", "", Some(Power::Broken)),
            ("Failed", "PowerState/running", Some(Power::Running)),
            ("Deleting", "PowerState/running", None),
        ] {
            let (vm, view) = vm(provisioning, state);
            let found = of(&vm, Some(&view), None);
            assert_eq!(
                found.as_ref().map(|machine| machine.power),
                power,
                "{provisioning} {state}"
            );
            if let Some(found) = found {
                assert_eq!(found.zone, "westeurope-2");
            }
        }
    }
}
