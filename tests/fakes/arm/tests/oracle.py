"""Makes, lists, changes and deletes with Microsoft's own clients, and is refused by them."""

import os
import time

import requests
from azure.core import MatchConditions
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceModifiedError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient

arm, subscription = os.environ["ARM"], os.environ["ARM_SUBSCRIPTION"]
group, location = os.environ["ARM_GROUP"], os.environ["ARM_LOCATION"]
form = {
    "grant_type": "client_credentials",
    "client_id": "oracle",
    "client_secret": os.environ["ARM_SECRET"],
    "scope": f"{arm}/.default",
}
given = requests.post(f"{arm}/{os.environ['ARM_TENANT']}/oauth2/v2.0/token", data=form, timeout=30)
given.raise_for_status()


class Credential:
    """The token that the double gave out."""

    def get_token(self, *scopes, **options):
        return AccessToken(given.json()["access_token"], int(time.time()) + 3000)


options = {
    "credential": Credential(),
    "subscription_id": subscription,
    "base_url": arm,
    "credential_scopes": [f"{arm}/.default"],
    "retry_total": 0,
}
compute = ComputeManagementClient(**options)
network = NetworkManagementClient(**options)
resources = ResourceManagementClient(**options)
authorization = AuthorizationManagementClient(**options, api_version="2022-04-01")


def refused(code, call):
    """Looks that a call is refused with a code."""
    try:
        answer = call()
        answer = answer.result() if hasattr(answer, "result") else answer
    except HttpResponseError as error:
        found = error.error.code if error.error else error.reason
        assert code == found, f"{code}: {found}: {error.message}"
        return error
    raise AssertionError(f"{code}: {answer}")


def machine(**change):
    properties = {
        "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
        "storageProfile": {
            "imageReference": {
                "publisher": "Debian",
                "offer": "debian-12",
                "sku": "12-gen2",
                "version": "latest",
            },
            "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
        },
        "osProfile": {
            "computerName": "web",
            "adminUsername": "azureuser",
            "linuxConfiguration": {
                "disablePasswordAuthentication": True,
                "ssh": {"publicKeys": [{"path": "/x", "keyData": "ssh-ed25519 AAAA"}]},
            },
        },
    }
    properties.update(change)
    return {"location": location, "tags": {"team": "a"}, "properties": properties}


# A group of its own, which goes with all that is in it.
resources.resource_groups.create_or_update("oracle", {"location": location})
space = {"addressSpace": {"addressPrefixes": ["10.3.0.0/16"]}}
space["subnets"] = [{"name": "own", "properties": {"addressPrefix": "10.3.1.0/24"}}]
network.virtual_networks.begin_create_or_update(
    "oracle", "net", {"location": location, "properties": space}
).result()
subnet = network.subnets.get("oracle", "net", "own")
assert subnet.name == "own"
for granted in (
    authorization.permissions.list_for_resource_group("oracle"),
    authorization.permissions.list_for_resource(
        "oracle", "Microsoft.Network", "virtualNetworks/net", "subnets", "own"
    ),
):
    assert [it.actions for it in granted] == [["*"]]

# One machine with an interface that was made before it, and two with theirs in one request.
address = {"name": "a", "properties": {"subnet": {"id": subnet.id}, "primary": True}}
nic = network.network_interfaces.begin_create_or_update(
    group, "own", {"location": location, "properties": {"ipConfigurations": [address]}}
).result()
assert nic.ip_configurations[0].private_ip_address.startswith("10.")
first = machine(
    networkProfile={
        "networkInterfaces": [{"id": nic.id, "properties": {"deleteOption": "Delete"}}]
    }
)
made = compute.virtual_machines.begin_create_or_update(group, "web-0", first).result()
assert made.provisioning_state == "Succeeded", made.provisioning_state
inline = machine(
    networkProfile={
        "networkApiVersion": "2022-11-01",
        "networkInterfaceConfigurations": [
            {
                "name": "n",
                "tags": {"team": "a"},
                "properties": {
                    "primary": True,
                    "deleteOption": "Delete",
                    "ipConfigurations": [
                        {"name": "a", "properties": {"subnet": {"id": subnet.id}}}
                    ],
                },
            }
        ],
    }
)
for name in ["web-1", "web-2"]:
    compute.virtual_machines.begin_create_or_update(
        group, name, inline, match_condition=MatchConditions.IfMissing
    ).result()

# Pages are followed, and ids know no case.
names = sorted(it.name for it in compute.virtual_machines.list(group.upper()))
assert names == ["web-0", "web-1", "web-2"], names
states = {
    it.name: [status.code for status in it.instance_view.statuses]
    for it in compute.virtual_machines.list_all(status_only="true")
}
assert len(states) == 3 and "PowerState/running" in states["web-0"], states
assert len(list(network.network_interfaces.list(group))) == 3
assert len(list(compute.disks.list_by_resource_group(group))) == 3

# Changes are bound to versions.
seen = compute.virtual_machines.get(group, "web-1", expand="instanceView")
assert seen.instance_view.statuses
changed = compute.virtual_machines.begin_update(
    group,
    "web-1",
    {"tags": {"team": "b"}},
    etag=seen.etag,
    match_condition=MatchConditions.IfNotModified,
).result()
assert changed.tags == {"team": "b"}, changed.tags
try:
    compute.virtual_machines.begin_update(
        group,
        "web-1",
        {"tags": {}},
        etag=seen.etag,
        match_condition=MatchConditions.IfNotModified,
    ).result()
    raise AssertionError("a stale version was taken")
except ResourceModifiedError:
    pass
refused(
    "PreconditionFailed",
    lambda: compute.virtual_machines.begin_create_or_update(
        group, "web-1", inline, match_condition=MatchConditions.IfMissing
    ),
)
compute.virtual_machines.begin_deallocate(group, "web-1").result()
stopped = compute.virtual_machines.get(group, "web-1", expand="instanceView")
assert "PowerState/deallocated" in [it.code for it in stopped.instance_view.statuses]
compute.virtual_machines.begin_start(group, "web-1").result()

# What Azure refuses is refused.
unknown = machine(networkProfile=inline["properties"]["networkProfile"])
unknown["properties"]["colour"] = "red"
put = compute.virtual_machines.begin_create_or_update
refused("InvalidRequestContent", lambda: put(group, "bad", unknown))
written = machine(provisioningState="Succeeded")
refused("InvalidParameter", lambda: put(group, "bad", written))
nowhere = dict(inline)
del nowhere["location"]
refused("InvalidParameter", lambda: put(group, "bad", nowhere))
refused("InvalidParameter", lambda: put(group, "bad.", inline))
refused("ResourceGroupNotFound", lambda: put("none", "web", inline))
refused("ResourceNotFound", lambda: compute.virtual_machines.get(group, "none"))
refused("InUseByResource", lambda: network.network_interfaces.begin_delete(group, "own"))
address = f"{arm}/subscriptions/{subscription}/providers/Microsoft.Compute/virtualMachines"
bearer = {"Authorization": f"Bearer {given.json()['access_token']}"}
for query, headers, status, code in [
    ("", bearer, 400, "MissingApiVersionParameter"),
    ("?api-version=2019-03-01", bearer, 400, "InvalidApiVersionParameter"),
    ("?api-version=2026-04-01", {}, 401, "AuthenticationFailed"),
]:
    plain = requests.get(f"{address}{query}", headers=headers, timeout=30)
    assert plain.status_code == status, plain.status_code
    assert plain.json()["error"]["code"] == code, plain.json()

# What goes with a machine goes, and a group with all that is in it.
for name in ["web-0", "web-1", "web-2"]:
    compute.virtual_machines.begin_delete(group, name).result()
assert not list(compute.virtual_machines.list(group))
assert not list(network.network_interfaces.list(group))
assert not list(compute.disks.list_by_resource_group(group))
resources.resource_groups.begin_delete("oracle").result()
assert not resources.resource_groups.check_existence("oracle")
print("done")
