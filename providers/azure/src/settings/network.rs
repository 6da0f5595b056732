//! Ids of what the block may name by a short name.

use super::AzureSettings;

/// Returns the id of the fleet's subnet.
pub(crate) fn subnet_id(settings: &AzureSettings) -> String {
    match settings.subnet.split_once('/') {
        Some((network, subnet)) if !network.is_empty() => in_group(
            settings,
            &format!("Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"),
        ),
        Some(_) | None => settings.subnet.clone(),
    }
}

/// Returns the id of the fleet's network security group.
pub(crate) fn group_id(settings: &AzureSettings) -> Option<String> {
    let named = settings.network_security_group.as_ref()?;
    Some(match named.starts_with('/') {
        true => named.clone(),
        false => in_group(
            settings,
            &format!("Microsoft.Network/networkSecurityGroups/{named}"),
        ),
    })
}

fn in_group(settings: &AzureSettings, resource: &str) -> String {
    let AzureSettings {
        subscription,
        resource_group,
        ..
    } = settings;
    format!("/subscriptions/{subscription}/resourceGroups/{resource_group}/providers/{resource}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::tests::block;

    #[test]
    fn short_names_are_of_the_resource_group() {
        let change = json!({"networkSecurityGroup": "mesh"});
        let settings = AzureSettings::read(&block(&change)).unwrap();
        let group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/shop";
        assert_eq!(
            subnet_id(&settings),
            format!("{group}/providers/Microsoft.Network/virtualNetworks/net/subnets/default")
        );
        assert_eq!(
            group_id(&settings),
            Some(format!(
                "{group}/providers/Microsoft.Network/networkSecurityGroups/mesh"
            ))
        );
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/n/subnets/x";
        let settings = AzureSettings::read(&block(&json!({"subnet": id}))).unwrap();
        assert_eq!(subnet_id(&settings), id);
    }
}
