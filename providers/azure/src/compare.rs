//! In what a machine is not what its fleet asks for, and what it takes to change it.

use meshvm_provider_api::{Difference, Machine, Mutability, Power, Template};
use serde_json::Value;

use crate::attributes::{
    IDENTITY_SYSTEM, IDENTITY_USER, IMAGE, IMAGE_SOURCE, SECURITY_GROUP, SUBNET, TAG, VM_SIZE,
};
use crate::recipe::Recipe;
use crate::settings::ImagePolicy;
use crate::tags;

/// Compares a machine with its template.
///
/// A template that is not this provider's is compared attribute by attribute, so that nothing
/// of it passes unseen.
pub(crate) fn compare(template: &Template, machine: &Machine) -> Vec<Difference> {
    let mut differences = template.differences(&machine.attributes, mutability);
    if let Ok(recipe) = Recipe::of(template) {
        differences.retain(|difference| !is_met(&recipe, &difference.attribute, machine));
    }
    // A tag that left the file must leave the machine; one that others set stays.
    let stale = tags::from_file(&machine.labels)
        .into_iter()
        .filter_map(|key| {
            let attribute = format!("{TAG}{key}");
            let before = machine.labels.get(key)?;
            let is_gone = !template.attributes.contains_key(&attribute);
            is_gone.then(|| Difference {
                attribute,
                before: Some(Value::from(before.as_str()).to_string()),
                after: None,
                mutability: Mutability::InPlace,
            })
        });
    differences.extend(stale);
    differences
}

/// Returns what it takes to change an attribute.
pub(crate) fn mutability(attribute: &str) -> Mutability {
    match attribute {
        SECURITY_GROUP | IDENTITY_SYSTEM | IDENTITY_USER => Mutability::InPlace,
        tag if tag.starts_with(TAG) => Mutability::InPlace,
        VM_SIZE => Mutability::Restart,
        // An attribute that is not known here is another version's: only a new machine is sure.
        _ => Mutability::Replace,
    }
}

/// Returns whether a machine is what is asked for though the attribute's texts differ.
fn is_met(recipe: &Recipe, attribute: &str, machine: &Machine) -> bool {
    let asked = &recipe.asked;
    let seen = |name: &str| machine.attributes.get(name).and_then(Value::as_str);
    match attribute {
        VM_SIZE => seen(VM_SIZE).is_some_and(|seen| {
            let mut sizes = asked.vm_size.0.iter();
            sizes.any(|wanted| wanted.eq_ignore_ascii_case(seen))
        }),
        // The machine is listed before its interface: nothing is known of that yet.
        SUBNET | SECURITY_GROUP | "publicAddress" => !machine.attributes.contains_key(attribute),
        IMAGE => {
            asked.image.policy() == ImagePolicy::Pinned
                && asked.image.source().is_some_and(|source| {
                    seen(IMAGE_SOURCE).is_some_and(|seen| seen == source.as_str())
                })
        }
        // Of the disks of a deallocated machine Azure tells neither size nor type
        // (<https://learn.microsoft.com/rest/api/compute/virtual-machines/get>).
        disk if is_of_disk(disk) => {
            machine.power == Power::Stopped && !machine.attributes.contains_key(disk)
        }
        // What was adopted does not say how its image was found: it is judged by the image.
        IMAGE_SOURCE => !machine.attributes.contains_key(IMAGE_SOURCE),
        _ => false,
    }
}

fn is_of_disk(attribute: &str) -> bool {
    ["osDisk.", "dataDisks."]
        .iter()
        .any(|of| attribute.starts_with(of))
}

#[cfg(test)]
mod tests {
    use meshvm_provider_api::{Labels, MachineId, Readiness};
    use serde_json::json;

    use super::*;
    use crate::recipe::Found;
    use crate::settings::{AzureSettings, tests::block};

    fn template(change: &Value, version: &str) -> Template {
        let recipe = Recipe {
            asked: AzureSettings::read(&block(change)).unwrap(),
            found: Some(Found {
                version: version.to_owned(),
                architecture: None,
                generation: None,
                plan: None,
            }),
        };
        recipe.template().unwrap()
    }

    /// A machine that is what a template asks for.
    fn machine(template: &Template) -> Machine {
        let recipe = Recipe::of(template).unwrap();
        let mut attributes = template.attributes.clone();
        attributes.insert(VM_SIZE.to_owned(), json!(recipe.asked.vm_size.0[0]));
        let mut labels: Labels = recipe.asked.tags.clone();
        labels.insert(tags::TAGS.to_owned(), tags::names(recipe.asked.tags.keys()));
        Machine {
            id: MachineId::from("web-1"),
            name: "web-1".to_owned(),
            zone: "westeurope".to_owned(),
            power: Power::Running,
            readiness: Readiness::Unknown,
            address: None,
            labels,
            attributes,
        }
    }

    fn found(template: &Template, machine: &Machine) -> Vec<(String, Mutability)> {
        let all = compare(template, machine).into_iter();
        all.map(|it| (it.attribute, it.mutability)).collect()
    }

    #[test]
    fn each_field_has_its_way_to_change() {
        use Mutability::{InPlace, Replace, Restart};
        let tags = json!({"tags": {"a": "1", "b": "2"}});
        let before = template(&tags, "1.0");
        let machine = machine(&before);
        assert_eq!(found(&before, &machine), []);
        for (change, attribute, mutability) in [
            (json!({"tags": {"a": "1"}}), "tags.b", InPlace),
            (json!({"tags": {"a": "2", "b": "2"}}), "tags.a", InPlace),
            (json!({"vmSize": ["x", "y"]}), VM_SIZE, Restart),
            (json!({"subnet": "net/other"}), SUBNET, Replace),
            (json!({"adminUser": "ops"}), "adminUser", Replace),
            (
                json!({"sshPublicKey": "ssh-rsa B"}),
                "sshPublicKey",
                Replace,
            ),
            (json!({"trustedLaunch": false}), "trustedLaunch", Replace),
            (json!({"publicAddress": true}), "publicAddress", Replace),
            (json!({"osDisk": {"size": "64GiB"}}), "osDisk.size", Replace),
            (
                json!({"dataDisks": [{"lun": 2, "size": "8GiB"}]}),
                "dataDisks.2.size",
                Replace,
            ),
        ] {
            let mut change = change;
            if change.get("tags").is_none() {
                change["tags"] = tags["tags"].clone();
            }
            let seen = found(&template(&change, "1.0"), &machine);
            assert_eq!(seen, [(attribute.to_owned(), mutability)], "{change}");
        }
        assert_eq!(super::mutability(SECURITY_GROUP), InPlace);
        assert_eq!(super::mutability(IDENTITY_USER), InPlace);
    }

    #[test]
    fn a_newer_image_counts_only_where_the_file_says_so() {
        let image = |policy: &str| json!({"image": {"publisher": "p", "offer": "o", "sku": "s", "policy": policy}});
        let machine = machine(&template(&image("pinned"), "1.0"));
        assert_eq!(found(&template(&image("pinned"), "2.0"), &machine), []);
        let replace = [(IMAGE.to_owned(), Mutability::Replace)];
        assert_eq!(found(&template(&image("latest"), "2.0"), &machine), replace);
        assert_eq!(found(&template(&image("latest"), "1.0"), &machine), []);
    }

    #[test]
    fn what_is_not_told_of_a_deallocated_machines_disks_is_no_drift() {
        let disks = json!({
            "osDisk": {"size": "64GiB", "type": "Premium_LRS"},
            "dataDisks": [{"lun": 0, "size": "8GiB"}],
        });
        let wanted = template(&disks, "1.0");
        let mut machine = machine(&wanted);
        machine.attributes.retain(|name, _| !is_of_disk(name));
        let all = ["dataDisks.0.size", "osDisk.size", "osDisk.type"];
        let all = all.map(|name| (name.to_owned(), Mutability::Replace));
        assert_eq!(found(&wanted, &machine), all, "it runs without them");
        machine.power = Power::Stopped;
        assert_eq!(found(&wanted, &machine), []);
        let other = json!("32GiB");
        machine.attributes.insert("osDisk.size".to_owned(), other);
        assert_eq!(found(&wanted, &machine), all[1..2]);
    }

    #[test]
    fn what_an_interface_would_tell_is_no_drift_until_it_is_listed() {
        let wanted = template(&json!({"networkSecurityGroup": "g"}), "1.0");
        let mut machine = machine(&wanted);
        machine.attributes.remove(SUBNET);
        machine.attributes.remove(SECURITY_GROUP);
        assert_eq!(found(&wanted, &machine), []);
        machine
            .attributes
            .insert(SECURITY_GROUP.to_owned(), json!(""));
        let differs = [(SECURITY_GROUP.to_owned(), Mutability::InPlace)];
        assert_eq!(found(&wanted, &machine), differs);
    }
}
