//! In what a machine is not what its fleet asks for, and what it takes to change it. Pure.

use meshvm_provider_api::{Difference, Machine, Mutability, Template};
use serde_json::Value;

use crate::attributes::{
    DELETION_PROTECTION, FIREWALL, IMAGE, IMAGE_SOURCE, LABEL, MACHINE_TYPE, METADATA, TAGS,
};
use crate::machine;
use crate::recipe::Recipe;
use crate::settings::ImagePolicy;

/// Compares a machine with its template.
///
/// A template that is not this provider's is compared attribute by attribute, so that nothing
/// of it passes unseen.
pub(crate) fn compare(template: &Template, machine: &Machine) -> Vec<Difference> {
    let mut differences = template.differences(&machine.attributes, mutability);
    if let Ok(recipe) = Recipe::of(template) {
        differences.retain(|difference| !is_met(&recipe, &difference.attribute, machine));
    }
    // What left the file must leave the machine; what others set stays.
    let named = machine::named(machine);
    let labels = named.labels.iter().map(|key| format!("{LABEL}{key}"));
    let metadata = named.metadata.iter().map(|key| format!("{METADATA}{key}"));
    let stale = labels.chain(metadata).filter_map(|attribute| {
        let before = machine.attributes.get(&attribute)?.to_string();
        let is_gone = !template.attributes.contains_key(&attribute);
        is_gone.then_some(Difference {
            attribute,
            before: Some(before),
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
        TAGS | FIREWALL | DELETION_PROTECTION => Mutability::InPlace,
        MACHINE_TYPE => Mutability::Restart,
        named if named.starts_with(LABEL) || named.starts_with(METADATA) => Mutability::InPlace,
        // An attribute that is not known here is another version's: only a new machine is sure.
        _ => Mutability::Replace,
    }
}

/// Returns whether a machine is what is asked for though the attribute's texts differ.
fn is_met(recipe: &Recipe, attribute: &str, machine: &Machine) -> bool {
    let asked = &recipe.asked;
    let seen = |name: &str| machine.attributes.get(name).and_then(Value::as_str);
    match attribute {
        MACHINE_TYPE => seen(MACHINE_TYPE)
            .is_some_and(|seen| asked.machine_type.0.iter().any(|wanted| wanted == seen)),
        // A machine that was adopted does not say what it was made from, and is taken as it is.
        IMAGE | IMAGE_SOURCE if seen(IMAGE).is_none() => true,
        IMAGE => {
            asked.image.policy() == ImagePolicy::Pinned
                && asked
                    .image
                    .source()
                    .is_some_and(|source| seen(IMAGE_SOURCE) == Some(source.as_str()))
        }
        // So are the types of its disks.
        kind if kind.ends_with(".type") => seen(IMAGE).is_none() && seen(kind).is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use meshvm_provider_api::{Kind, Power, Readiness};
    use serde_json::json;

    use super::*;
    use crate::kept::Named;
    use crate::kind::GcpKind;
    use crate::recipe::Found;

    fn template(change: &Value, image: &str) -> Template {
        let mut block = json!({"project": "acme-vms", "region": "europe-west1",
            "machineType": ["t2a-standard-1", "c4a-standard-1"],
            "image": {"project": "debian-cloud", "family": "debian-12-arm64"}});
        for (key, value) in change.as_object().unwrap() {
            block[key] = value.clone();
        }
        let template = GcpKind.template(&block, Path::new("")).unwrap();
        let mut recipe = Recipe::of(&template).unwrap();
        recipe.found = Some(Found {
            image: image.to_owned(),
            architecture: None,
            zones: vec!["europe-west1-b".to_owned()],
        });
        recipe.template().unwrap()
    }

    /// Returns a machine as it was made from a template.
    fn machine(template: &Template) -> Machine {
        let mut seen = template.attributes.clone();
        seen.insert(MACHINE_TYPE.to_owned(), json!("c4a-standard-1"));
        let recipe = Recipe::of(template).unwrap();
        seen.insert("named".to_owned(), json!(Named::of(&recipe)));
        Machine {
            id: "1".into(),
            name: "web-1".into(),
            zone: "europe-west1-b".into(),
            power: Power::Running,
            readiness: Readiness::Unknown,
            address: None,
            labels: [].into(),
            attributes: seen,
        }
    }

    fn found(template: &Template, machine: &Machine) -> Vec<(String, Mutability)> {
        let found = compare(template, machine).into_iter();
        found.map(|d| (d.attribute, d.mutability)).collect()
    }

    #[test]
    fn each_attribute_has_its_mutability() {
        use Mutability::{InPlace, Replace, Restart};
        let block = json!({"labels": {"a": "1", "b": "2"}, "metadata": {"c": "3"}});
        let before = template(&block, "i");
        let machine = machine(&before);
        assert_eq!(found(&before, &machine), []);
        for (change, attribute, mutability) in [
            (json!({"labels": {"a": "9", "b": "2"}}), "label.a", InPlace),
            (json!({"labels": {"a": "1"}}), "label.b", InPlace),
            (json!({"metadata": {}}), "metadata.c", InPlace),
            (json!({"tags": ["web"]}), TAGS, InPlace),
            (
                json!({"firewall": {"owned": {"ports": [1], "from": ["web"]}}}),
                FIREWALL,
                InPlace,
            ),
            (
                json!({"deletionProtection": true}),
                DELETION_PROTECTION,
                InPlace,
            ),
            (
                json!({"machineType": "n2-standard-2"}),
                MACHINE_TYPE,
                Restart,
            ),
            (json!({"subnetwork": "s"}), "subnetwork", Replace),
            (json!({"publicAddress": true}), "publicAddress", Replace),
            (
                json!({"shielded": {"secureBoot": false}}),
                "shielded.secureBoot",
                Replace,
            ),
            (
                json!({"bootDisk": {"size": "40GiB"}}),
                "bootDisk.size",
                Replace,
            ),
            (json!({"reservation": "r"}), "reservation", Replace),
            (
                json!({"serviceAccount": {"email": "default"}}),
                "serviceAccount.scopes",
                Replace,
            ),
        ] {
            let mut block = block.clone();
            for (key, value) in change.as_object().unwrap() {
                block[key] = value.clone();
            }
            let after = template(&block, "i");
            let expected = [(attribute.to_owned(), mutability)];
            assert_eq!(found(&after, &machine), expected, "{change}");
        }
    }

    #[test]
    fn a_newer_image_counts_only_where_the_file_says_so() {
        let image =
            |policy: &str| json!({"image": {"project": "p", "family": "f", "policy": policy}});
        let machine = machine(&template(&image("pinned"), "old"));
        assert_eq!(found(&template(&image("pinned"), "new"), &machine), []);
        let replace = [(IMAGE.to_owned(), Mutability::Replace)];
        assert_eq!(found(&template(&image("latest"), "new"), &machine), replace);
        let mut adopted = machine.clone();
        adopted.attributes.remove(IMAGE);
        adopted.attributes.remove(IMAGE_SOURCE);
        assert_eq!(found(&template(&image("latest"), "new"), &adopted), []);
    }
}
