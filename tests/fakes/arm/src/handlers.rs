//! Answers calls that are well formed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::catalog;
use crate::description::Operation;
use crate::operations::End;
use crate::rights;
use crate::server::{Asked, Reply};
use crate::validate;
use crate::world::{World, text};

/// Answers a call of an operation that Microsoft's clients know.
pub(crate) fn answer(
    world: &mut World,
    asked: &Asked,
    operation: &Operation,
    parameters: &BTreeMap<String, String>,
) -> Reply {
    if let Some(model) = &operation.body {
        // Some calls that have something done take a body or none.
        let is_needed = operation.method == "PUT";
        match &asked.body {
            Some(body) => {
                // A machine's change repeats the parts that it changes, and no others.
                let is_whole = operation.method != "PATCH";
                let checked =
                    validate::body(model, body, is_whole).and_then(|()| validate::tags(body));
                if let Err((code, message)) = checked {
                    return Reply::error(400, &code, &message);
                }
            }
            None if is_needed => return Reply::error(400, "MissingBody", "There is no body."),
            None => {}
        }
    }
    if operation.conditions
        && let Some(reply) = condition(world, asked)
    {
        return reply;
    }
    // What is done to a resource is named behind its id.
    let id = match asked.method.as_str() {
        "POST" => asked.path.rsplit_once('/').map_or("", |(id, _)| id),
        _ => asked.path.as_str(),
    };
    let body = asked.body.clone().unwrap_or_default();
    let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    match operation.name.as_str() {
        "VirtualMachines.create_or_update" => world.put_machine(id, body),
        "VirtualMachines.update" => {
            world.look_at(id);
            match world.get(id).map(|it| it.body.clone()) {
                Some(before) => world.patch_machine(id, &before, body),
                None => missing(id),
            }
        }
        "VirtualMachines.get" => {
            world.look_at(id);
            let Some(resource) = world.get(id) else {
                return missing(id);
            };
            let mut body = resource.told();
            if asked.query.get("$expand").map(String::as_str) == Some("instanceView") {
                body["properties"]["instanceView"] = world.view(id);
            }
            Reply::of(200, Some(body))
        }
        "VirtualMachines.delete" => world.delete_machine(id),
        "VirtualMachines.start" => world.run_machine(id, End::Runs),
        "VirtualMachines.power_off" => world.run_machine(id, End::Stopped),
        "VirtualMachines.deallocate" => world.run_machine(id, End::Deallocated),
        "VirtualMachines.list" => list(
            world,
            asked,
            parent(id),
            "Microsoft.Compute/virtualMachines",
        ),
        "VirtualMachines.list_all" => {
            let subscription = id.split("/providers/").next().unwrap_or_default();
            match asked.query.get("statusOnly").map(String::as_str) {
                Some("true") => statuses(world, asked, subscription),
                _ => list(
                    world,
                    asked,
                    subscription,
                    "Microsoft.Compute/virtualMachines",
                ),
            }
        }
        "Permissions.list_for_resource_group" | "Permissions.list_for_resource" => {
            rights::granted(world)
        }
        "NetworkInterfaces.create_or_update" => world.put_interface(id, body),
        "NetworkInterfaces.update_tags" | "PublicIPAddresses.update_tags" => {
            world.look_at(id);
            if world.get(id).is_none() {
                return missing(id);
            }
            world.set(id, "/tags", body["tags"].clone());
            let whole = world.get(id).map(|it| it.body.clone());
            Reply::of(200, whole)
        }
        "NetworkInterfaces.list" => list(
            world,
            asked,
            parent(id),
            "Microsoft.Network/networkInterfaces",
        ),
        "PublicIPAddresses.list" => list(
            world,
            asked,
            parent(id),
            "Microsoft.Network/publicIPAddresses",
        ),
        "Disks.list_by_resource_group" => list(world, asked, parent(id), "Microsoft.Compute/disks"),
        "NetworkInterfaces.delete"
        | "PublicIPAddresses.delete"
        | "Disks.delete"
        | "NetworkSecurityGroups.delete"
        | "VirtualNetworks.delete" => world.delete_part(id),
        "VirtualNetworks.create_or_update"
        | "Subnets.create_or_update"
        | "NetworkSecurityGroups.create_or_update"
        | "PublicIPAddresses.create_or_update" => world.put_plain(id, body),
        "Subnets.get" => match world.subnet(id) {
            Some(body) => Reply::of(200, Some(body)),
            None => missing(id),
        },
        "NetworkInterfaces.get"
        | "NetworkSecurityGroups.get"
        | "VirtualNetworks.get"
        | "PublicIPAddresses.get"
        | "Disks.get"
        | "ResourceGroups.get" => {
            world.look_at(id);
            match world.get(id) {
                Some(resource) => Reply::of(200, Some(resource.body.clone())),
                None => missing(id),
            }
        }
        "ResourceGroups.create_or_update" => {
            world.look_at(id);
            if world.get(id).is_some_and(|it| {
                text(&it.body, "/properties/provisioningState") == Some("Deleting")
            }) {
                return Reply::error(
                    409,
                    "ResourceGroupBeingDeleted",
                    "The group is being deleted.",
                );
            }
            let status = if world.get(id).is_some() { 200 } else { 201 };
            let mut body = body;
            body["properties"] = json!({"provisioningState": "Succeeded"});
            world.put(id, body);
            Reply::of(status, world.get(id).map(|it| it.body.clone()))
        }
        "ResourceGroups.delete" => {
            if world.get(id).is_none() {
                return missing(id);
            }
            world.set(id, "/properties/provisioningState", json!("Deleting"));
            let operation = world.begin(id, End::GroupGone);
            let mut reply = world.goes_on(202, None, &operation, "Microsoft.Resources");
            reply.operation = None;
            reply
        }
        "ResourceGroups.check_existence" => {
            world.look_at(id);
            let status = if world.get(id).is_some() { 204 } else { 404 };
            Reply::of(status, None)
        }
        "ResourceGroups.list" => {
            let groups = world
                .resources
                .iter()
                .filter(|(id, _)| !id.contains("/providers/"));
            let all: Vec<Value> = groups.map(|(_, it)| it.body.clone()).collect();
            Reply::of(200, Some(json!({"value": all})))
        }
        "Resources.list_by_resource_group" => {
            let group = id
                .strip_suffix("/resources")
                .unwrap_or(id)
                .to_ascii_lowercase();
            let below = format!("{group}/providers/");
            let is_own = |id: &str| id.starts_with(&below) && !id.contains("/subnets/");
            let all: Vec<Value> = world
                .resources
                .iter()
                .filter(|(id, it)| is_own(id) && it.hidden == 0)
                .map(|(_, it)| json!({"id": it.body["id"], "name": it.body["name"], "type": it.body["type"]}))
                .collect();
            Reply::of(200, Some(json!({"value": all})))
        }
        "ResourceSkus.list" => Reply::of(200, Some(catalog::sizes())),
        "Usage.list" => Reply::of(200, Some(catalog::usages(world))),
        "VirtualMachineImages.list" => {
            catalog::versions(parameter("offer"), parameter("skus"), &asked.query)
        }
        "VirtualMachineImages.get" => {
            catalog::version(parameter("offer"), parameter("skus"), parameter("version"))
        }
        "GalleryImages.get" => catalog::gallery(
            parameter("galleryName"),
            parameter("galleryImageName"),
            None,
        ),
        "GalleryImageVersions.get" => catalog::gallery(
            parameter("galleryName"),
            parameter("galleryImageName"),
            Some(parameter("galleryImageVersionName")),
        ),
        other => {
            let message = format!("The double does not know what `{other}` does.");
            Reply::error(501, "NotImplemented", &message)
        }
    }
}

fn missing(id: &str) -> Reply {
    let message = format!("The Resource '{id}' was not found.");
    Reply::error(404, "ResourceNotFound", &message)
}

/// Returns an id without the type that is listed.
fn parent(id: &str) -> &str {
    id.split("/providers/").next().unwrap_or(id)
}

/// Answers a call whose condition does not hold.
fn condition(world: &World, asked: &Asked) -> Option<Reply> {
    let found = world.get(&asked.path);
    let etag = found.and_then(|it| text(&it.body, "/etag"));
    let is_met = match (&asked.if_match, &asked.if_none_match) {
        (Some(wanted), _) => etag == Some(wanted.as_str()) || (wanted == "*" && found.is_some()),
        (None, Some(wanted)) if wanted == "*" => found.is_none(),
        (None, Some(_)) => {
            let message = "The value of If-None-Match is not supported.";
            return Some(Reply::error(400, "InvalidHeaderValue", message));
        }
        (None, None) => true,
    };
    let message = "The condition is not met: the resource is of another version.";
    (!is_met).then(|| Reply::error(412, "PreconditionFailed", message))
}

fn list(world: &mut World, asked: &Asked, below: &str, kind: &str) -> Reply {
    let ids = world.listed(below, kind);
    let all = ids.iter().filter_map(|id| Some(world.get(id)?.told()));
    let all = all.collect();
    page(world, asked, all)
}

fn statuses(world: &mut World, asked: &Asked, subscription: &str) -> Reply {
    // They come from elsewhere than the machines, and are not late with them.
    let ids = world.machines();
    for id in &ids {
        world.look_at(id);
    }
    let all = world
        .machines()
        .into_iter()
        .filter(|id| id.starts_with(&subscription.to_ascii_lowercase()))
        .filter_map(|id| {
            let body = &world.get(&id)?.body;
            Some(json!({
                "id": body["id"], "name": body["name"], "location": body["location"],
                "type": body["type"], "properties": {
                    "vmId": body["properties"]["vmId"],
                    "provisioningState": body["properties"]["provisioningState"],
                    "instanceView": world.view(&id),
                },
            }))
        })
        .collect();
    page(world, asked, all)
}

/// Answers with a page; where the next begins is told by an opaque word.
fn page(world: &World, asked: &Asked, all: Vec<Value>) -> Reply {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let token = asked.query.get("$skiptoken");
    let from = match token.map(|token| URL_SAFE_NO_PAD.decode(token)) {
        None => 0,
        Some(Ok(bytes)) => String::from_utf8_lossy(&bytes).parse().unwrap_or(0),
        Some(Err(_)) => return Reply::error(400, "InvalidSkipToken", "It is none of ours."),
    };
    let size = world.manners.page;
    let items: Vec<Value> = all.iter().skip(from).take(size).cloned().collect();
    let mut body = json!({"value": items});
    if from + size < all.len() {
        let token = URL_SAFE_NO_PAD.encode((from + size).to_string());
        let query: String = asked
            .query
            .iter()
            .filter(|(name, _)| *name != "$skiptoken")
            .map(|(name, value)| format!("&{name}={value}"))
            .collect();
        let link = format!("{}{}?$skiptoken={token}{query}", asked.base, asked.path);
        body["nextLink"] = json!(link);
    }
    Reply::of(200, Some(body))
}
