"""Makes, lists, changes and deletes with Google's own client, and is refused by it.

Every answer is held against the schema that the API describes it by.
"""

import json
import os
import uuid

import google_auth_httplib2
import httplib2
from described import Description
from google.api_core.client_options import ClientOptions
from google.oauth2.credentials import Credentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError
from googleapiclient.http import BatchHttpRequest, HttpRequest

endpoint, project, zone = os.environ["GCE"], "acme-vms", "europe-west1-b"
with open(os.environ["GCE_DESCRIPTION"], encoding="utf-8") as file:
    description = Description(json.load(file))


class Request(HttpRequest):
    """A request whose answer has to be as the API describes it."""

    def execute(self, http=None, num_retries=0):
        answer = super().execute(http=http, num_retries=num_retries)
        description.holds(self.methodId, answer)
        return answer


with open(os.environ["GOOGLE_APPLICATION_CREDENTIALS"], encoding="utf-8") as file:
    key = json.load(file)
credentials = Credentials(
    None,
    refresh_token=key["refresh_token"],
    token_uri=key["token_uri"],
    client_id=key["client_id"],
    client_secret=key["client_secret"],
)
http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http(timeout=60))
compute = discovery.build(
    "compute",
    "v1",
    http=http,
    requestBuilder=Request,
    static_discovery=True,
    client_options=ClientOptions(api_endpoint=f"{endpoint}/compute/v1/"),
)
instances, operations, disks = compute.instances(), compute.zoneOperations(), compute.disks()
here = {"project": project, "zone": zone}


def on(name):
    return {**here, "instance": name}


def new_id():
    return str(uuid.uuid4())


def machine(**change):
    """Returns the properties of a machine, which insert and bulkInsert share but for addresses."""
    properties = {
        "machineType": "e2-small",
        "labels": {"team": "a"},
        "tags": {"items": ["web"]},
        "metadata": {"items": [{"key": "user-data", "value": "#cloud-config"}]},
        "disks": [
            {
                "boot": True,
                "autoDelete": True,
                "initializeParams": {
                    "sourceImage": "projects/debian-cloud/global/images/family/debian-12",
                    "diskSizeGb": "20",
                    "labels": {"team": "a"},
                },
            }
        ],
        "networkInterfaces": [{"network": f"projects/{project}/global/networks/default"}],
    }
    properties.update(change)
    return properties


def one(name, kind="e2-small", **change):
    address = f"projects/{project}/zones/{zone}/machineTypes/{kind}"
    return {"name": name, **machine(machineType=address), **change}


def some(names, **change):
    """Returns the body of a bulkInsert that names its machines."""
    return {
        "count": len(names),
        "perInstanceProperties": {name: {} for name in names},
        "instanceProperties": machine(**change),
    }


def done(operation):
    """Waits for the end of an operation that must succeed."""
    assert operation["status"] in ("PENDING", "RUNNING"), operation
    seen = operations.get(**here, operation=operation["name"]).execute()
    assert seen["id"] == operation["id"], seen
    ended = operations.wait(**here, operation=operation["name"]).execute()
    assert ended["status"] == "DONE" and "error" not in ended, ended
    return ended


def failed(operation, status, code):
    """Waits for the end of an operation that must fail; its reply was a success."""
    ended = operations.wait(**here, operation=operation["name"]).execute()
    assert ended["status"] == "DONE" and ended["httpErrorStatusCode"] == status, ended
    assert ended["error"]["errors"][-1]["code"] == code, ended
    return ended


def refused(status, reason, request):
    """Looks that a call is refused at once."""
    try:
        answer = request.execute()
    except HttpError as error:
        said = json.loads(error.content)["error"]
        found = (int(error.resp.status), said["errors"][0]["reason"])
        assert found == (status, reason), f"{(status, reason)}: {said}"
        assert said["code"] == status and said["message"], said
        return said["message"]
    raise AssertionError(f"{(status, reason)}: {answer}")


def pages(collection, **query):
    """Lists all, page by page; returns the pages."""
    request, found = collection.list(**query), []
    while request is not None:
        answer = request.execute()
        found.append(answer.get("items", []))
        request = collection.list_next(request, answer)
    return found


def everywhere(**query):
    """Lists the machines of all zones; returns their names and the number of pages."""
    request, found, count = instances.aggregatedList(project=project, **query), [], 0
    while request is not None:
        answer = request.execute()
        count += 1
        for place, scope in answer["items"].items():
            assert place.startswith(("zones/", "regions/", "global")), place
            machines = scope.get("instances", [])
            assert machines or scope["warning"]["code"] == "NO_RESULTS_ON_PAGE", scope
            found += [it["name"] for it in machines]
        request = instances.aggregatedList_next(request, answer)
    return sorted(found), count


def raw(verb, path, body=None, token=True):
    """Sends what Google's client does not send."""
    client = http if token else httplib2.Http(timeout=60)
    text = None if body is None else json.dumps(body)
    reply, content = client.request(f"{endpoint}/compute/v1/{path}", verb, body=text)
    said = json.loads(content)["error"]
    return int(reply.status), said["errors"][0]["reason"]


# What a machine is made from.
image = compute.images().getFromFamily(project="debian-cloud", family="debian-12").execute()
again = compute.images().get(project="debian-cloud", image=image["name"]).execute()
assert again == image and image["status"] == "READY", image
region = compute.regions().get(project=project, region="europe-west1").execute()
assert any(it["metric"] == "INSTANCES" for it in region["quotas"]), region
assert zone in [address.rsplit("/", 1)[1] for address in region["zones"]], region
place = compute.zones().get(**here).execute()
assert place["region"] == region["selfLink"] and place["selfLink"] in region["zones"], place
assert zone in [it["name"] for page in pages(compute.zones(), project=project) for it in page]
kind = compute.machineTypes().get(**here, machineType="e2-medium").execute()
assert kind in sum(pages(compute.machineTypes(), **here), []), kind
subnetwork = {"project": project, "region": "europe-west1", "subnetwork": "default"}
assert compute.subnetworks().get(**subnetwork).execute()["network"].endswith("/default")
assert compute.projects().get(project=project).execute()["name"] == project
refused(404, "notFound", compute.projects().get(project="nobodys"))
manager = discovery.build(
    "cloudresourcemanager",
    "v3",
    http=http,
    static_discovery=True,
    client_options=ClientOptions(api_endpoint=endpoint),
)
rights = {"permissions": ["compute.instances.create", "compute.disks.create"]}
asked = manager.projects().testIamPermissions(resource=f"projects/{project}", body=rights)
assert asked.execute() == rights
types = compute.machineTypes().aggregatedList(project=project, filter="name = e2-small").execute()
found = types["items"][f"zones/{zone}"]["machineTypes"]
assert [it["name"] for it in found] == ["e2-small"] and found[0]["guestCpus"] == 2, found

# One machine.
given = new_id()
scope = "https://www.googleapis.com/auth/cloud-platform"
account = {"serviceAccounts": [{"email": "default", "scopes": [scope]}]}
making = instances.insert(**here, body=one("web-0", **account), requestId=given).execute()
assert making["operationType"] == "insert", making
assert instances.get(**on("web-0")).execute()["status"] in ("PROVISIONING", "STAGING")
done(making)
made = instances.get(**on("web-0")).execute()
assert made["status"] == "RUNNING" and made["labels"] == {"team": "a"}, made
assert made["networkInterfaces"][0]["networkIP"].startswith("10."), made
account = compute.projects().get(project=project).execute()["defaultServiceAccount"]
assert made["serviceAccounts"] == [{"email": account, "scopes": [scope]}], made
assert made["id"] == making["targetId"] and made["selfLink"] == making["targetLink"], making
disk = disks.get(**here, disk="web-0").execute()
assert disk["sizeGb"] == "20" and disk["labels"] == {"team": "a"}, disk
assert disk["users"] == [made["selfLink"]], disk

# The same request again is the same operation, and a name is there once.
replayed = instances.insert(**here, body=one("web-0"), requestId=given).execute()
assert replayed["name"] == making["name"], replayed
refused(409, "alreadyExists", instances.insert(**here, body=one("web-0"), requestId=new_id()))

# Four more in one call, which is as many machines as the project may have; and one too many.
given = new_id()
names = ["web-1", "web-2", "web-3", "web-4"]
bulk = instances.bulkInsert(**here, body=some(names), requestId=given).execute()
ended = done(bulk)
told = ended["instancesBulkInsertOperationMetadata"]["perLocationStatus"][f"zones/{zone}"]
assert told["createdVmCount"] == 4 and told["status"] == "DONE", told
again = instances.bulkInsert(**here, body=some(names), requestId=given).execute()
assert again["name"] == bulk["name"] and again["status"] == "DONE", again
full = instances.insert(**here, body=one("web-5"), requestId=new_id()).execute()
failed(full, 403, "QUOTA_EXCEEDED")
full = instances.bulkInsert(**here, body=some(["web-5"]), requestId=new_id()).execute()
ended = failed(full, 403, "QUOTA_EXCEEDED")
told = ended["instancesBulkInsertOperationMetadata"]["perLocationStatus"][f"zones/{zone}"]
assert told["createdVmCount"] == 0 and told["failedToCreateVmCount"] == 1, told
refused(404, "notFound", instances.get(**on("web-5")))

# Lists, in pages of two, and filters.
listed = pages(instances, **here)
assert [len(page) for page in listed] == [2, 2, 1], listed
listed = pages(instances, **here, maxResults=1, filter='labels.team = "a"')
assert [len(page) for page in listed] == [1] * 5, listed
assert everywhere() == (["web-0", *names], 3)
assert everywhere(filter="labels.team=a AND name=web-2") == (["web-2"], 1)
assert everywhere(filter="(name = web-1) OR (name = web-3)") == (["web-1", "web-3"], 1)
assert everywhere(filter="labels.team:*")[0] == ["web-0", *names]
assert everywhere(filter="labels.team != a") == ([], 1)
assert everywhere(filter=f"id = {made['id']}") == (["web-0"], 1)
assert everywhere(filter="name eq web-[01]")[0] == ["web-0", "web-1"]
assert everywhere(filter="(labels.team = a) (name != web-0) (id > 1)")[0] == names
listed = pages(instances, **here, orderBy="creationTimestamp desc")
assert sum(listed, [])[-1]["name"] == "web-0", listed
refused(400, "invalid", instances.list(**here, orderBy="status"))
refused(400, "invalid", instances.list(**here, filter="this is none"))
refused(400, "invalid", instances.list(**here, pageToken="of-nobody"))
began = [it["operationType"] for page in pages(operations, **here) for it in page]
assert began.count("insert") == 7 and began.count("bulkInsert") == 2, began

everything = compute.globalOperations().aggregatedList(project=project).execute()
assert len(everything["items"][f"zones/{zone}"]["operations"]) == 2, everything
everything = disks.aggregatedList(project=project, filter="name = web-1").execute()
assert len(everything["items"][f"zones/{zone}"]["disks"]) == 1, everything

# What a call in bulk did for each of its machines is an operation of its group.
group = f"operationGroupId = {bulk['operationGroupId']}"
each = sum(pages(operations, **here, filter=f"({group}) (operationType = insert)"), [])
assert sorted(it["targetLink"].rsplit("/", 1)[1] for it in each) == names, each
group = f"operationGroupId = {ended['operationGroupId']}"
each = sum(pages(operations, **here, filter=f"({group}) (operationType = insert)"), [])
assert [it["error"]["errors"][0]["code"] for it in each] == ["QUOTA_EXCEEDED"], each
codes = [error["code"] for error in ended["error"]["errors"]]
assert codes == ["VM_MIN_COUNT_NOT_REACHED", "QUOTA_EXCEEDED"], codes

# Many calls in one request; what is refused is so by itself.
answers = {}
batch = BatchHttpRequest(
    callback=lambda name, answer, error: answers.update({name: error or answer}),
    batch_uri=f"{endpoint}/batch/compute/v1",
)
for name in ["web-0", "none", "web-1"]:
    batch.add(instances.get(**on(name)), request_id=name)
body = {"labels": {}, "labelFingerprint": "c3RhbGU="}
batch.add(instances.setLabels(**on("web-2"), body=body), request_id="stale")
batch.execute(http=http)
description.holds("compute.instances.get", answers["web-0"])
assert answers["web-0"]["id"] == made["id"] and answers["web-1"]["name"] == "web-1", answers
assert [answers[name].resp.status for name in ["none", "stale"]] == [404, 412], answers

# Changes are bound to what was seen.
stale = made["labelFingerprint"]
body = {"labels": {"team": "b", "tier": "1"}, "labelFingerprint": stale}
done(instances.setLabels(**on("web-0"), body=body, requestId=new_id()).execute())
refused(412, "conditionNotMet", instances.setLabels(**on("web-0"), body=body))
body = {"items": ["web", "canary"], "fingerprint": made["tags"]["fingerprint"]}
done(instances.setTags(**on("web-0"), body=body).execute())
refused(412, "conditionNotMet", instances.setTags(**on("web-0"), body=body))
body = {"items": [{"key": "a", "value": "b"}], "fingerprint": made["metadata"]["fingerprint"]}
done(instances.setMetadata(**on("web-0"), body=body).execute())
refused(412, "conditionNotMet", instances.setMetadata(**on("web-0"), body=body))
changed = instances.get(**on("web-0")).execute()
assert changed["labels"] == {"team": "b", "tier": "1"}, changed
assert changed["tags"]["items"] == ["web", "canary"], changed
assert changed["metadata"]["items"] == [{"key": "a", "value": "b"}], changed
assert changed["labelFingerprint"] != stale, changed
assert everywhere(filter="labels.tier = 1")[0] == ["web-0"]

# A type changes while the machine is stopped; the first stop fails in the end.
bigger = {"machineType": f"zones/{zone}/machineTypes/e2-medium"}
refused(400, "invalid", instances.setMachineType(**on("web-0"), body=bigger))
failed(instances.stop(**on("web-0")).execute(), 503, "INTERNAL_ERROR")
done(instances.stop(**on("web-0")).execute())
stopped = instances.get(**on("web-0")).execute()
assert stopped["status"] == "TERMINATED" and stopped["lastStopTimestamp"], stopped
done(instances.setMachineType(**on("web-0"), body=bigger).execute())
done(instances.start(**on("web-0")).execute())
changed = instances.get(**on("web-0")).execute()
assert changed["status"] == "RUNNING", changed
assert changed["machineType"].endswith("/e2-medium"), changed

# What is protected is not deleted.
protected = {**here, "resource": "web-4"}
done(instances.setDeletionProtection(**protected, deletionProtection=True).execute())
assert instances.get(**on("web-4")).execute()["deletionProtection"] is True
refused(400, "invalidResourceUsage", instances.delete(**on("web-4")))
done(instances.setDeletionProtection(**protected, deletionProtection=False).execute())

# What Google refuses is refused.
def insert(body, **query):
    return instances.insert(**here, body=body, **query)


refused(400, "invalid", insert({**one("bad"), "colour": "red"}))
deep = one("bad")
deep["disks"][0]["initializeParams"]["diskSizeGB"] = "10"
refused(400, "invalid", insert(deep))
refused(400, "invalid", insert({**one("bad"), "status": "RUNNING"}))
nameless = one("bad")
del nameless["name"]
refused(400, "required", insert(nameless))
for wrong in ["Bad", "bad_name", "-bad", "bad-", "b" * 64]:
    refused(400, "invalid", insert(one(wrong)))
    refused(400, "invalid", instances.bulkInsert(**here, body=some([wrong])))
refused(400, "invalid", insert({**one("bad"), "labels": {"Team": "a"}}))
refused(400, "invalid", insert({**one("bad"), "labels": ["team"]}))
refused(400, "invalid", insert({**one("bad"), "canIpForward": "yes"}))
refused(400, "invalid", insert(one("bad", kind="no-such-type")))
refused(400, "invalid", insert({**one("bad"), "machineType": "e2-small"}))
whole = machine(machineType=one("bad")["machineType"])
refused(400, "invalid", instances.bulkInsert(**here, body={**some(["bad"]), "instanceProperties": whole}))
refused(400, "invalid", insert({**one("bad"), "disks": []}))
refused(400, "invalid", insert(one("bad"), requestId="not-a-uuid"))
refused(400, "invalid", insert({**one("bad"), "scheduling": {"provisioningModel": "CHEAP"}}))
twice = {"items": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}
refused(400, "invalid", insert({**one("bad"), "metadata": twice}))
large = {"items": [{"key": "user-data", "value": "x" * (256 * 1024 + 1)}]}
refused(400, "invalid", insert({**one("bad"), "metadata": large}))
refused(400, "invalid", instances.bulkInsert(**here, body={**some(["bad"]), "count": 2}))
refused(404, "notFound", instances.get(**on("none")))
refused(404, "notFound", instances.delete(**on("none")))
refused(404, "notFound", instances.get(project=project, zone="mars-north1-a", instance="web-0"))
refused(404, "notFound", operations.get(**here, operation="operation-of-nobody"))
refused(404, "notFound", compute.images().getFromFamily(project="debian-cloud", family="none"))
place = f"projects/{project}/zones/{zone}/instances"
assert raw("GET", f"{place}?colour=red") == (400, "invalid")
assert raw("POST", place) == (400, "required")
assert raw("GET", place, token=False) == (401, "required")
assert raw("GET", f"projects/{project}/planets")[0] == 404

# Machines go, with the disks that were made for them; and there is room, but not of this type.
for name in ["web-0", *names]:
    done(instances.delete(**on(name), requestId=new_id()).execute())
assert everywhere() == ([], 1)
assert pages(instances, **here) == [[]] and pages(disks, **here) == [[]]
rare = f"zones/{zone}/machineTypes/t2a-standard-1"
arm = "projects/debian-cloud/global/images/family/debian-12-arm64"
boot = [{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": arm}}]
most = instances.bulkInsert(
    **here,
    body={**some(["arm-0", "arm-1"], machineType="t2a-standard-1", disks=boot), "minCount": 1},
).execute()
ended = failed(most, 503, "ZONE_RESOURCE_POOL_EXHAUSTED")
told = ended["instancesBulkInsertOperationMetadata"]["perLocationStatus"][f"zones/{zone}"]
assert told["createdVmCount"] == 1 and told["failedToCreateVmCount"] == 1, told
last = everywhere()[0]
assert len(last) == 1, last
full = insert({**one("arm-2"), "machineType": rare, "disks": boot}).execute()
failed(full, 503, "ZONE_RESOURCE_POOL_EXHAUSTED")
refused(404, "notFound", instances.get(**on("arm-2")))
done(instances.delete(**on(last[0])).execute())

# Rules of the firewall are the whole project's.
firewalls = compute.firewalls()


def everywhere_done(operation):
    """Waits for the end of an operation that is no zone's and must succeed."""
    ended = compute.globalOperations().wait(project=project, operation=operation["name"]).execute()
    assert ended["status"] == "DONE" and "error" not in ended, ended


def rule(**change):
    tcp = [{"IPProtocol": "tcp", "ports": ["8080"]}]
    own = {"name": "web", "network": "global/networks/default", "targetTags": ["web"]}
    return {**own, "allowed": tcp, "sourceRanges": ["10.0.0.0/8"], **change}


made = firewalls.insert(project=project, body=rule(), requestId=new_id()).execute()
everywhere_done(made)
web = {"project": project, "firewall": "web"}
seen = firewalls.get(**web).execute()
assert seen["direction"] == "INGRESS" and seen["network"].endswith("/default"), seen
assert sum(pages(firewalls, project=project), []) == [seen]
ports = [{"IPProtocol": "tcp", "ports": ["8080", "9090"]}]
everywhere_done(firewalls.update(**web, body=rule(allowed=ports)).execute())
assert firewalls.get(**web).execute()["allowed"] == ports
refused(409, "alreadyExists", firewalls.insert(project=project, body=rule()))
refused(400, "invalid", firewalls.insert(project=project, body=rule(name="No")))
refused(400, "invalid", firewalls.insert(project=project, body=rule(name="b", allowed=[{}])))
refused(404, "notFound", firewalls.delete(project=project, firewall="none"))
everywhere_done(firewalls.delete(**web).execute())
assert pages(firewalls, project=project) == [[]]

description.report()
print("done")
