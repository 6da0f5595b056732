//! What the schema of the block cannot say.

use std::collections::BTreeSet;

use meshvm_provider_api::{Finding, labels};

use super::{AzureSettings, CredentialSource, DiskType, VmSizes};
use crate::tags;

/// How many tags the user may give: a resource takes 50, ours and the user's labels among them
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources>).
const MOST_TAGS: usize = 30;
/// What the name of a tag may not have in it (the same page).
const FORBIDDEN: [char; 7] = ['<', '>', '%', '&', '\\', '?', '/'];
/// Names that Azure refuses as users of Linux machines
/// (<https://learn.microsoft.com/azure/virtual-machines/linux/faq>, and the client's `admin_username`).
const RESERVED_USERS: [&str; 33] = [
    "1",
    "123",
    "a",
    "actuser",
    "adm",
    "admin",
    "admin1",
    "admin2",
    "administrator",
    "aspnet",
    "backup",
    "console",
    "david",
    "guest",
    "john",
    "owner",
    "root",
    "server",
    "sql",
    "support",
    "support_388945a0",
    "sys",
    "test",
    "test1",
    "test2",
    "test3",
    "user",
    "user1",
    "user2",
    "user3",
    "user4",
    "user5",
    "video",
];

/// Returns every problem.
pub(super) fn findings(settings: &AzureSettings) -> Vec<Finding> {
    let mut found = Vec::new();
    let VmSizes(sizes) = &settings.vm_size;
    if sizes.is_empty() || sizes.iter().any(String::is_empty) {
        found.push(Finding::at("vmSize", "needs at least one size"));
    }
    let identities = settings.identity.as_ref();
    let users = identities.map(|it| it.user.clone()).unwrap_or_default();
    for (field, list) in [
        ("zones", &settings.zones),
        ("vmSize", sizes),
        ("identity.user", &users),
    ] {
        let mut seen = BTreeSet::new();
        for (index, item) in list.iter().enumerate() {
            // Azure knows no case.
            if !seen.insert(item.to_ascii_lowercase()) {
                let message = format!("`{item}` is listed twice");
                found.push(Finding::at(&format!("{field}.{index}"), message));
            }
        }
    }
    if identities.is_some_and(|it| !it.system && it.user.is_empty()) {
        let finding = Finding::at("identity", "names no identity");
        found.push(finding.with_hint("write `system: true`, or ids under `user`"));
    }
    let user = settings.admin_user.as_str();
    if RESERVED_USERS.contains(&user.to_ascii_lowercase().as_str()) {
        let message = format!("Azure does not take `{user}` as the name of a user");
        found.push(Finding::at("adminUser", message));
    }
    if settings.resource_group.ends_with('.') {
        found.push(Finding::at(
            "resourceGroup",
            "must not end with a full stop",
        ));
    }
    disks(settings, &mut found);
    tags_of(settings, &mut found);
    if settings.client_id.is_some() && settings.credential == CredentialSource::DeveloperTools {
        let message = "who is logged in with a tool has no client id";
        found.push(Finding::at("clientId", message));
    }
    found
}

fn disks(settings: &AzureSettings, found: &mut Vec<Finding>) {
    let os = settings.os_disk.as_ref().and_then(|disk| disk.kind);
    if os == Some(DiskType::PremiumV2Lrs) {
        let message = "a machine does not boot from a PremiumV2_LRS disk";
        found.push(Finding::at("osDisk.type", message));
    }
    let mut luns = BTreeSet::new();
    for (index, disk) in settings.data_disks.iter().enumerate() {
        let path = format!("dataDisks.{index}.lun");
        if disk.lun > 63 {
            found.push(Finding::at(&path, "must be from 0 to 63"));
        }
        if !luns.insert(disk.lun) {
            let message = format!("{} is listed twice", disk.lun);
            found.push(Finding::at(&path, message));
        }
        if disk.kind == Some(DiskType::PremiumV2Lrs) && settings.zones.is_empty() {
            let path = format!("dataDisks.{index}.type");
            let finding = Finding::at(&path, "PremiumV2_LRS disks are of one zone");
            found.push(finding.with_hint("write `zones`"));
        }
    }
}

fn tags_of(settings: &AzureSettings, found: &mut Vec<Finding>) {
    if settings.tags.len() > MOST_TAGS {
        let message = format!("{} tags, {MOST_TAGS} are allowed", settings.tags.len());
        found.push(Finding::at("tags", message));
    }
    let mut seen = BTreeSet::new();
    for (key, value) in &settings.tags {
        let own = |name: &&str| name.eq_ignore_ascii_case(key);
        let lower = key.to_ascii_lowercase();
        let problem = if key.is_empty() {
            Some("a tag needs a name".to_owned())
        } else if let Some(forbidden) = key.chars().find(|c| FORBIDDEN.contains(c)) {
            Some(format!("`{key}`: `{forbidden}` is not allowed in a name"))
        } else if ["microsoft", "azure", "windows"]
            .iter()
            .any(|prefix| lower.starts_with(prefix))
        {
            Some(format!("`{key}`: such names are Microsoft's own"))
        } else if labels::ALL.iter().chain(&tags::OWN).any(own) {
            Some(format!("`{key}` is meshvm's own"))
        } else if key.contains(' ') {
            Some(format!(
                "`{key}`: a name with blanks cannot be kept track of"
            ))
        } else if key.chars().count() > 512 {
            Some(format!("`{key}` has more than 512 characters"))
        } else if value.chars().count() > 256 {
            Some(format!("the value of `{key}` has more than 256 characters"))
        } else if !seen.insert(lower) {
            Some(format!("`{key}` is there twice: names know no case"))
        } else {
            None
        };
        found.extend(problem.map(|message| Finding::at("tags", message)));
    }
    if tags::names(settings.tags.keys()).chars().count() > 256 {
        let finding = Finding::at("tags", "the names have more than 256 characters together");
        found.push(finding.with_hint("their list is a tag itself, so that one that left is known"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::settings::tests::block;

    fn found(change: &Value) -> Vec<String> {
        match AzureSettings::read(&block(change)) {
            Ok(_) => Vec::new(),
            Err(found) => found.iter().map(|f| f.path.join(".")).collect(),
        }
    }

    #[test]
    fn every_problem_is_found_at_its_place() {
        for (change, places) in [
            (json!({}), vec![]),
            (json!({"vmSize": []}), vec!["vmSize"]),
            (json!({"vmSize": ["a", "A"]}), vec!["vmSize.1"]),
            (json!({"zones": ["1", "1"]}), vec!["zones.1"]),
            (json!({"identity": {}}), vec!["identity"]),
            (json!({"adminUser": "root"}), vec!["adminUser"]),
            (json!({"adminUser": "1"}), vec!["adminUser"]),
            (json!({"adminUser": "backup"}), vec!["adminUser"]),
            (json!({"resourceGroup": "a."}), vec!["resourceGroup"]),
            (
                json!({"osDisk": {"type": "PremiumV2_LRS"}}),
                vec!["osDisk.type"],
            ),
            (
                json!({"dataDisks": [{"lun": 1, "size": "1GiB"}, {"lun": 1, "size": "1GiB"}]}),
                vec!["dataDisks.1.lun"],
            ),
            (
                json!({"dataDisks": [{"lun": 1, "size": "1GiB", "type": "PremiumV2_LRS"}]}),
                vec!["dataDisks.0.type"],
            ),
            (json!({"tags": {"a/b": "1"}}), vec!["tags"]),
            (json!({"tags": {"azure-x": "1"}}), vec!["tags"]),
            (json!({"tags": {"Meshvm-Stack": "1"}}), vec!["tags"]),
            (json!({"tags": {"a": "1", "A": "2"}}), vec!["tags"]),
            (
                json!({"clientId": "x", "credential": "developerTools"}),
                vec!["clientId"],
            ),
        ] {
            assert_eq!(found(&change), places, "{change}");
        }
    }
}
