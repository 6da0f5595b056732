//! In what a machine is not what its fleet asks for, and what it takes to change it.

use meshvm_provider_api::{Difference, Machine, Mutability, Template};
use serde_json::Value;

use crate::attributes::{
    IMAGE, IMAGE_NAME, IMAGE_SOURCE, INSTANCE_PROFILE, INSTANCE_TYPE, METADATA_HOP_LIMIT,
    METADATA_TOKENS, OWNED_GROUP, SECURITY_GROUPS, SUBNETS, TAG, TERMINATION_PROTECTION,
};
use crate::recipe::Recipe;
use crate::settings::{AwsSettings, ImagePolicy};
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
    // A hash says nothing to people; the image that was found does.
    for difference in &mut differences {
        if difference.attribute == IMAGE_SOURCE {
            difference.before = machine.attributes.get(IMAGE).map(Value::to_string);
        }
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
        SECURITY_GROUPS
        | OWNED_GROUP
        | TERMINATION_PROTECTION
        | METADATA_TOKENS
        | METADATA_HOP_LIMIT => Mutability::InPlace,
        tag if tag.starts_with(TAG) => Mutability::InPlace,
        INSTANCE_TYPE => Mutability::Restart,
        // An attribute that is not known here is another version's: only a new machine is sure.
        _ => Mutability::Replace,
    }
}

/// Returns whether a machine is what is asked for though the attribute's texts differ.
fn is_met(recipe: &Recipe, attribute: &str, machine: &Machine) -> bool {
    let AwsSettings {
        image,
        instance_type,
        subnets,
        instance_profile,
        ..
    } = &recipe.asked;
    let seen = |name: &str| machine.attributes.get(name).and_then(Value::as_str);
    match attribute {
        INSTANCE_TYPE => seen(INSTANCE_TYPE)
            .is_some_and(|seen| instance_type.0.iter().any(|wanted| wanted == seen)),
        SUBNETS => seen(SUBNETS).is_some_and(|seen| subnets.iter().any(|subnet| subnet == seen)),
        // EC2 tells the ARN, of which a name is the last part.
        INSTANCE_PROFILE => instance_profile.as_deref().is_some_and(|wanted| {
            seen(INSTANCE_PROFILE).and_then(|arn| arn.rsplit('/').next()) == Some(wanted)
        }),
        IMAGE => {
            image.policy() == ImagePolicy::Pinned
                && image.source().is_some_and(|source| {
                    // What was adopted does not say how its image was found.
                    seen(IMAGE_SOURCE).is_none_or(|seen| seen == source.as_str())
                        && seen(IMAGE_SOURCE).is_some()
                })
        }
        // Where it is not known how the image was found, the image itself decides.
        IMAGE_SOURCE => match (seen(IMAGE_SOURCE), image.source()) {
            (Some(seen), Some(source)) => seen == source.as_str(),
            (None, Some(_)) => true,
            (_, None) => false,
        },
        IMAGE_NAME => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use meshvm_provider_api::{Kind, Power, Readiness};
    use serde_json::json;

    use super::*;
    use crate::attributes;
    use crate::kind::AwsKind;
    use crate::recipe::Found;

    fn template(change: &Value, image: &str) -> Template {
        let mut block = json!({"region": "eu-west-1", "instanceType": ["m7g.large", "m6g.large"], "image": "ami-1"});
        for (key, value) in change.as_object().unwrap() {
            block[key] = value.clone();
        }
        let template = AwsKind::default().template(&block, Path::new("")).unwrap();
        let mut recipe = Recipe::of(&template).unwrap();
        recipe.found = Some(Found {
            image: image.to_owned(),
            image_name: Some("a-name".to_owned()),
            architecture: "arm64".to_owned(),
            root_device: None,
            subnets: [("eu-west-1a".to_owned(), vec!["subnet-1".to_owned()])].into(),
            vpc: None,
        });
        recipe.template().unwrap()
    }

    /// Returns a machine as it was made from a template.
    fn machine(template: &Template) -> Machine {
        let recipe = Recipe::of(template).unwrap();
        let labels = tags::of_new(&recipe, &[].into(), "s-f", "r");
        let mut seen = template.attributes.clone();
        seen.extend(attributes::of_tags(&labels));
        seen.insert(INSTANCE_TYPE.to_owned(), json!("m6g.large"));
        seen.insert(IMAGE.to_owned(), json!(recipe.found.unwrap().image));
        Machine {
            id: "i-1".into(),
            name: "i-1".into(),
            zone: "eu-west-1a".into(),
            power: Power::Running,
            readiness: Readiness::Unknown,
            address: None,
            labels,
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
        let before = template(&json!({"tags": {"a": "1", "b": "2"}}), "ami-1");
        let machine = machine(&before);
        assert_eq!(found(&before, &machine), []);
        for (change, attribute, mutability) in [
            (json!({"tags": {"a": "9", "b": "2"}}), "tags.a", InPlace),
            (json!({"tags": {"a": "1"}}), "tags.b", InPlace),
            (
                json!({"securityGroups": ["sg-1"]}),
                SECURITY_GROUPS,
                InPlace,
            ),
            (
                json!({"securityGroup": {"owned": {"ports": [80], "from": ["sg-1"]}}}),
                OWNED_GROUP,
                InPlace,
            ),
            (
                json!({"terminationProtection": true}),
                TERMINATION_PROTECTION,
                InPlace,
            ),
            (
                json!({"metadata": {"tokens": "optional"}}),
                METADATA_TOKENS,
                InPlace,
            ),
            (
                json!({"metadata": {"hopLimit": 2}}),
                METADATA_HOP_LIMIT,
                InPlace,
            ),
            (json!({"instanceType": "c7g.large"}), INSTANCE_TYPE, Restart),
            (json!({"image": "ami-2"}), IMAGE, Replace),
            (json!({"subnets": ["subnet-2"]}), SUBNETS, Replace),
            (json!({"keyPair": "k"}), "keyPair", Replace),
            (json!({"instanceProfile": "p"}), INSTANCE_PROFILE, Replace),
            (json!({"ipv6": true}), "ipv6", Replace),
            (json!({"publicAddress": true}), "publicAddress", Replace),
            (
                json!({"placement": {"tenancy": "dedicated"}}),
                "placement.tenancy",
                Replace,
            ),
            (
                json!({"rootVolume": {"size": "40GiB"}}),
                "rootVolume.size",
                Replace,
            ),
        ] {
            let mut change = change;
            if change.get("tags").is_none() {
                change["tags"] = json!({"a": "1", "b": "2"});
            }
            let after = template(&change, "ami-1");
            assert_eq!(
                found(&after, &machine),
                [(attribute.to_owned(), mutability)],
                "{change}"
            );
        }
    }

    #[test]
    fn a_newer_image_counts_only_where_the_file_says_so() {
        let image = |policy: &str| json!({"image": {"ssm": "/aws/x", "policy": policy}});
        let machine = machine(&template(&image("pinned"), "ami-old"));
        assert_eq!(found(&template(&image("pinned"), "ami-new"), &machine), []);
        let replace = [(IMAGE.to_owned(), Mutability::Replace)];
        assert_eq!(
            found(&template(&image("latest"), "ami-new"), &machine),
            replace
        );
        assert_eq!(found(&template(&image("latest"), "ami-old"), &machine), []);
        let other = template(&json!({"image": {"ssm": "/aws/y"}}), "ami-old");
        let names: Vec<_> = found(&other, &machine)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, [IMAGE_SOURCE]);
    }

    #[test]
    fn a_machine_that_does_not_say_how_its_image_was_found_is_judged_by_it() {
        let wanted = template(&json!({"image": {"ssm": "/aws/x"}}), "ami-1");
        let mut machine = machine(&wanted);
        machine.attributes.remove(IMAGE_SOURCE);
        assert_eq!(found(&wanted, &machine), []);
        machine.attributes.insert(IMAGE.to_owned(), json!("ami-2"));
        assert_eq!(
            found(&wanted, &machine),
            [(IMAGE.to_owned(), Mutability::Replace)]
        );
    }

    #[test]
    fn a_profile_is_known_by_its_name_and_by_its_arn() {
        let arn = "arn:aws:iam::123456789012:instance-profile/path/p";
        for wanted in ["p", arn] {
            let template = template(&json!({"instanceProfile": wanted}), "ami-1");
            let mut machine = machine(&template);
            machine
                .attributes
                .insert(INSTANCE_PROFILE.to_owned(), json!(arn));
            assert_eq!(found(&template, &machine), [], "{wanted}");
        }
    }

    #[test]
    fn tags_of_others_stay() {
        let wanted = template(&json!({}), "ami-1");
        let mut machine = machine(&wanted);
        machine
            .labels
            .insert("cost-center".to_owned(), "7".to_owned());
        assert_eq!(found(&wanted, &machine), []);
    }
}
