"""SCIM 2.0, checked by `scim2-tester` with its own client: every check passes, and none is left out."""

import collections

import httpx2
import pytest
import requests
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from conftest import running


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A kura of its own, whose generator is not needed, and the key of a directory."""
    config = '[models]\ngenerator = ""\n'
    with running(tmp_path_factory.mktemp("scim"), config) as (url, admin):
        headers = {"Authorization": f"Bearer {admin}"}
        service = {"name": "directory", "kind": "service", "role": "admin"}
        requests.post(f"{url}/api/v1/users", json=service, headers=headers).raise_for_status()
        made = requests.post(f"{url}/api/v1/api-keys", json={"name": "scim", "user": "directory"}, headers=headers)
        made.raise_for_status()
        yield url, made.json()["key"]


def test_the_server_is_what_the_standard_says(directory):
    url, key = directory
    with httpx2.Client(base_url=f"{url}/scim/v2", headers={"Authorization": f"Bearer {key}"}) as http:
        results = check_server(SyncSCIMClient(http))
    bad = [f"{result.status.name} {result.resource_type} {result.title}: {result.reason}" for result in results
           if result.status not in (Status.SUCCESS, Status.COMPLIANT, Status.ACCEPTABLE)]
    counted = collections.Counter(result.title for result in results)
    print(f"scim2-tester: {len(results)} checks of {len(counted)} kinds")
    assert not bad, "\n".join(bad)
    # Both kinds of resources were found and tried, attribute by attribute.
    for kind in ("User", "Group"):
        own = {result.title for result in results if result.resource_type == kind}
        assert {"object_creation", "object_replacement", "object_deletion", "check_add_attribute",
                "check_remove_attribute", "check_replace_attribute", "search_with_attributes"} <= own
    assert len(results) >= 50


def test_nobody_without_an_administrators_key_is_answered(directory):
    url, _ = directory
    for path in ("ServiceProviderConfig", "Users", "Groups", "Schemas"):
        reply = requests.get(f"{url}/scim/v2/{path}")
        assert reply.status_code == 401
        assert reply.headers["content-type"] == "application/scim+json"
        assert reply.json()["status"] == "401"
