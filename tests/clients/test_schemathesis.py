"""schemathesis against a kura that may be broken: every operation, as everyone, with what it allows and what it does not.

What is to hold for every answer: no failure of the server, no status, content type or body that the OpenAPI document does
not have, and nothing but 401 for whoever has not signed in. KURA_TEST_CASES says how many cases there are at least; without
it there are as many as the suite has time for, the same each time.
"""

import collections
import json
import os
import subprocess
import zlib

import hypothesis
import pytest
import schemathesis
from conftest import running
from hypothesis import Phase
from schemathesis import checks
from schemathesis.core.parameters import ParameterLocation
from target import (
    ADMIN, AUDITOR, DICTIONARY, EDITOR, NOBODY, OPERATOR, OUTSIDERS, PRINCIPALS, READER, STRANGER, Target,
)

CASES = int(os.environ.get("KURA_TEST_CASES", "5000"))
LONG = CASES > 5000
# Random cases of each operation: who may do more has more that can break.
RANDOM = {OPERATOR: 4, EDITOR: 5, ADMIN: 3, READER: 4, AUDITOR: 2, NOBODY: 2, STRANGER: 2}
# What is for everyone; signing in is, and gives nothing to those who cannot.
OPEN = {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/api/v1/session/oidc")}
# This server has no identity provider; test_single_sign_on.py has two.
PROVIDED = {("GET", "/api/v1/session/oidc/start"), ("GET", "/api/v1/session/oidc/callback"), ("POST", "/api/v1/session/oidc/logout")}
PUBLIC = OPEN | PROVIDED | {("POST", "/api/v1/session")}
# What no case succeeds at: a code of the second factor cannot be guessed.
OUT_OF_REACH = PROVIDED | {("POST", "/api/v1/session/totp/confirm"), ("POST", "/api/v1/session/totp/remove")}



def refusal(context, response, case):
    """Wrong bodies are refused. Only an array in an object's place is not: it is read as the object's fields in order.

    The parts of a form are texts, so that one of another type cannot be sent.
    """
    if case.media_type == "multipart/form-data":
        return None
    if case.body is not None and "[null, null]" in json.dumps(case.body, default=str):
        return None
    return checks.negative_data_rejection(context, response, case)


CHECKS = [
    checks.not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_headers_conformance, checks.response_schema_conformance, checks.unsupported_method, refusal,
]
document = json.loads(subprocess.run([os.environ["KURA_BIN"], "openapi"], check=True, capture_output=True).stdout)
schema = schemathesis.openapi.from_dict(document)
OPERATIONS = {(method.upper(), path) for path, item in document["paths"].items() for method in item}


class Tally:
    """What was answered, over all tests."""

    def __init__(self):
        self.cases = collections.Counter()
        self.succeeded = set()


@pytest.fixture(scope="module")
def tally():
    return Tally()


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A server for this module alone. Without a generator: it changes what answers say, not what they are."""
    directory = tmp_path_factory.mktemp("target")
    folder = directory / "folder"
    folder.mkdir()
    (folder / "note.md").write_text("# A note\n\nIt lies in a folder.\n")
    config = f'[models]\ngenerator = "{os.environ.get("KURA_TEST_GENERATOR", "")}"\n'
    with running(directory, config) as (url, key):
        yield Target(url, key, folder)


def each_operation(who):
    """Makes a test of every operation as one principal.

    Beside random cases there are those that schemathesis lays out, thirty for each operation: every boundary, every field
    that is missing or of another type. In a short run the operator alone sends them, whom nothing is forbidden.
    """
    phases = [Phase.explicit, Phase.generate] if LONG or who == OPERATOR else [Phase.generate]

    @schema.parametrize()
    @hypothesis.settings(
        max_examples=RANDOM[who] * max(1, CASES // 20_000), phases=phases, deadline=None, database=None,
        derandomize=not LONG, suppress_health_check=list(hypothesis.HealthCheck),
    )
    def test(case, target, tally):
        check(case, who, target, tally)

    return test


test_as_nobody = each_operation(NOBODY)
test_as_stranger = each_operation(STRANGER)
test_as_reader = each_operation(READER)
test_as_auditor = each_operation(AUDITOR)
test_as_editor = each_operation(EDITOR)
test_as_admin = each_operation(ADMIN)
test_as_operator = each_operation(OPERATOR)


def check(case, who, target, tally):
    operation = (case.operation.method.upper(), case.operation.path)
    aim(case, operation, who, target)
    # Schemathesis brings headers of its own; who sends them is not its choice.
    for name in ("Authorization", "Cookie"):
        case.headers.pop(name, None)
    case.cookies.clear()
    response = case.call(base_url=target.url, session=target.sessions[who], headers=target.headers[who], timeout=60)
    # A cookie that signing in has set is not for the next case.
    target.sessions[who].cookies.clear()
    tally.cases[who] += 1
    case.validate_response(response, checks=CHECKS)
    succeeded = response.status_code < 300
    # Some cases ask with a method that the address does not have.
    is_operation = case.method.upper() == operation[0]
    if succeeded and is_operation:
        tally.succeeded.add(operation)
    if who in OUTSIDERS:
        assert operation in OPEN or not succeeded, response.text
        assert operation in PUBLIC or not is_operation or response.status_code == 401, response.text
    elif succeeded or operation[1].endswith("/cancel"):
        target.restore(operation, who)


def aim(case, operation, who, target):
    """Puts things that exist into three of four cases: random ids exist nowhere, and all would end at 404."""
    if operation == ("POST", "/api/v1/sources") and isinstance(case.body, dict) and "place" in case.body:
        case.body["place"] = target.own_place(case.body["place"])
    if one_in(4, case):
        return
    # What is wrong on purpose stays so.
    wrong = {location for location, part in case.meta.components.items() if part.mode.is_negative}
    if case.path_parameters and ParameterLocation.PATH not in wrong:
        place = target.place(operation, who)
        case.path_parameters.update({name: place[name] for name in case.path_parameters if name in place})
    fields = target.fields(operation, who)
    for location, part in ((ParameterLocation.QUERY, case.query), (ParameterLocation.BODY, case.body)):
        if isinstance(part, dict) and location not in wrong:
            part.update({name: fields[name] for name in part if name in fields})
    if operation == ("POST", "/api/v1/documents") and isinstance(case.body, dict):
        # The parts of a form have an order, which no schema can say: what is said of a file stands before it.
        case.body = dict(sorted(case.body.items(), key=lambda part: (part[0] == "file", part[0])))
    if operation == ("PUT", "/api/v1/collections/{name}/dictionary") and ParameterLocation.BODY not in wrong:
        case.body = DICTIONARY


def one_in(n, case):
    """The same for the same case, so that hypothesis can repeat it."""
    said = repr((case.path_parameters, case.query, case.body, case.media_type))
    return zlib.crc32(said.encode("utf-8", "surrogatepass")) % n == 0


def test_document(target):
    """What was tested is what the server says of itself."""
    served = target.sessions[NOBODY].get(f"{target.url}/api/openapi.json", timeout=60)
    assert served.json() == document
    public = {(method, path) for method, path in OPERATIONS if document["paths"][path][method.lower()].get("security") == [{}]}
    assert public == PUBLIC


def test_reach(tally, target):
    """Every operation was asked by everyone, and each succeeded for someone: refusals alone would prove little."""
    print(f"\n{tally.cases.total()} cases: {dict(tally.cases)}")
    failed = OPERATIONS - tally.succeeded - OUT_OF_REACH
    for (method, address), (path, options) in target.plain().items():
        target.call(method, path, **options)
        failed.discard((method, address))
    assert not failed, ", ".join(" ".join(operation) for operation in sorted(failed))
    assert set(tally.cases) == set(PRINCIPALS)
    assert tally.cases.total() >= CASES
