//! The subscription, its tenant and its locations. Microsoft's clients for them are in packages
//! that nothing here is made from; Azure's command line asks for them when somebody logs in
//! (<https://learn.microsoft.com/rest/api/resources/subscriptions>).

use serde_json::{Value, json};

use crate::server::{Asked, Reply};
use crate::{LOCATION, SUBSCRIPTION, TENANT};

/// The right to look at the subscription.
const READ: &str = "Microsoft.Resources/subscriptions/read";
/// The right to look at its locations.
const LOCATIONS: &str = "Microsoft.Resources/subscriptions/locations/read";

/// Answers a call about the subscription, with the right that it needs; `None` when it is not.
pub(crate) fn answer(asked: &Asked) -> Option<(&'static str, Reply)> {
    let words: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let (right, body) = match (asked.method.as_str(), &words[..]) {
        ("GET", ["tenants"]) => {
            let id = format!("/tenants/{TENANT}");
            let tenant = json!({"id": id, "tenantId": TENANT, "displayName": "double"});
            (READ, json!({"value": [tenant]}))
        }
        ("GET", ["subscriptions"]) => (READ, json!({"value": [subscription()]})),
        ("GET", ["subscriptions", SUBSCRIPTION]) => (READ, subscription()),
        ("GET", ["subscriptions", SUBSCRIPTION, "locations"]) => {
            let id = format!("/subscriptions/{SUBSCRIPTION}/locations/{LOCATION}");
            let location = json!({
                "id": id, "name": LOCATION, "displayName": "West Europe", "type": "Region",
                "regionalDisplayName": "(Europe) West Europe",
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            });
            (LOCATIONS, json!({"value": [location]}))
        }
        _ => return None,
    };
    let is_versioned = asked.query.contains_key("api-version");
    let reply = match is_versioned {
        true => Reply::of(200, Some(body)),
        false => Reply::error(400, "MissingApiVersionParameter", "It is needed."),
    };
    Some((right, reply))
}

fn subscription() -> Value {
    json!({
        "id": format!("/subscriptions/{SUBSCRIPTION}"), "subscriptionId": SUBSCRIPTION,
        "tenantId": TENANT, "displayName": "double", "state": "Enabled",
        "authorizationSource": "RoleBased", "managedByTenants": [],
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}
