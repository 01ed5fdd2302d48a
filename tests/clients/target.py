"""A kura that may be broken: people of every role, one of everything that has an address, and the way to it."""

import itertools
import time
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter

COLLECTION = "handbook"
EXTERNAL_ID = "leave.md"
PASSWORD = "correct horse battery staple"
QUESTION = "How many days of paid leave do I get?"
DICTIONARY = "term,reading,synonyms,abbreviations\n有給休暇,ゆうきゅうきゅうか,休暇;paid leave,有休\n"
LEAVE = "# Paid leave\n\nEmployees receive twenty days of paid leave per year.\n"

# Everyone who may send something. `operator` has the key of the first start, `editor` the cookie of a session.
OPERATOR, ADMIN, EDITOR, READER, AUDITOR, NOBODY, STRANGER = PRINCIPALS = (
    "operator", "admin", "editor", "reader", "auditor", "nobody", "stranger",
)
OUTSIDERS = (NOBODY, STRANGER)


class OwnAddress(HTTPAdapter):
    """Requests from another address of this machine, so that other people's failures to sign in do not count."""

    def init_poolmanager(self, *args, **options):
        super().init_poolmanager(*args, source_address=("127.0.0.9", 0), **options)


class Target:
    """The server, the principals' credentials, and ids of things that exist."""

    def __init__(self, url, key, folder):
        self.url = url
        self.folder = folder
        self.numbers = itertools.count(1)
        self.headers = {
            OPERATOR: {"Authorization": f"Bearer {key}"},
            NOBODY: {},
            STRANGER: {"Authorization": "Bearer kura_" + "A" * 43},
        }
        self.sessions = {who: requests.Session() for who in PRINCIPALS}
        self.door = requests.Session()
        self.door.mount("http://", OwnAddress())
        self.users = {}
        self.put_document(EXTERNAL_ID, LEAVE)
        for role in (ADMIN, EDITOR, READER, AUDITOR):
            self.users[role] = self.make_user(role)
        for role in (ADMIN, READER, AUDITOR):
            made = self.post("/api/v1/api-keys", {"name": role, "user": role})
            self.headers[role] = {"Authorization": f"Bearer {made['key']}"}
        self.keep_members()
        self.sign_in()
        self.job = self.list("/api/v1/jobs")[0]["id"]
        self.document = self.list("/api/v1/documents")[0]["id"]
        self.failed_job = self.put_document("broken.pdf", "%PDF-1.7 and no more", "application/pdf")["job"]["id"]
        self.wait_for_jobs()
        self.answers = {who: self.ask(who) for who in (OPERATOR, ADMIN, EDITOR, READER)}
        self.source = self.make_source()
        self.hold = self.make_hold()
        self.group = self.make_group()
        self.decoy = self.make_user(READER)
        self.evaluation = self.make_evaluation()
        self.erasure = self.make_erasure()
        self.person = self.provision("Users")
        self.crew = self.provision("Groups")

    # Talking to it.

    def call(self, method, path, who=OPERATOR, **options):
        response = self.sessions[who].request(
            method, self.url + path, headers=self.headers[who] | options.pop("headers", {}), timeout=60, **options
        )
        assert response.ok, f"{method} {path} as {who}: {response.status_code} {response.text}"
        return response

    def post(self, path, body=None, who=OPERATOR, method="POST"):
        response = self.call(method, path, who, json=body)
        return response.json() if response.content else None

    def list(self, path, who=OPERATOR):
        return self.call("GET", path, who).json()["items"]

    def sign_in(self):
        """Gives the editor a new session, and returns its id."""
        response = self.door.post(f"{self.url}/api/v1/session", json={"name": EDITOR, "password": PASSWORD}, timeout=60)
        assert response.ok, response.text
        cookie = response.headers["set-cookie"].split(";")[0]
        self.headers[EDITOR] = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        return next(session["id"] for session in self.list("/api/v1/sessions", EDITOR) if session["current"])

    def wait_for_jobs(self):
        deadline = time.monotonic() + 120
        while any(job["state"] in ("queued", "running") for job in self.list("/api/v1/jobs?limit=200")):
            assert time.monotonic() < deadline, "documents are not indexed"
            time.sleep(0.1)

    # What exists, for a case to name.

    def place(self, operation, who):
        """Returns values for the parameters of a path; where the operation takes a thing away, of a thing made for it."""
        method, path = operation
        kind = path.removeprefix("/api/v1/").split("/")[0]
        if who in OUTSIDERS:
            return {"name": COLLECTION, "id": self.document, "external_id": EXTERNAL_ID}
        if path.startswith("/scim/v2/"):
            return {"id": self.provisioned(method, path.split("/")[3])}
        if "{external_id}" in path:
            return {"name": COLLECTION, "external_id": self.make_pushed() if method == "DELETE" else EXTERNAL_ID}
        if path == "/api/v1/jobs/{id}/cancel":
            return {"id": self.make_job()}
        if path == "/api/v1/jobs/{id}/retry":
            return {"id": self.failed_job}
        takes_away = method == "DELETE" and path.endswith("}") or path.endswith("/rotate")
        found = self.fresh(kind, who) if takes_away else None
        found = found or self.lasting(kind, who) or self.fresh(kind, who)
        return {"name": found, "id": found}

    def provisioned(self, method, kind):
        """What a directory may name."""
        if kind in ("Users", "Groups") and method == "DELETE":
            return self.provision(kind)
        return {"Users": self.person, "Groups": self.crew, "ResourceTypes": "User",
                "Schemas": "urn:ietf:params:scim:schemas:core:2.0:Group"}.get(kind)

    def lasting(self, kind, who):
        answer = self.answers.get(who, {})
        return {
            "collections": COLLECTION, "groups": self.group, "sources": self.source, "documents": self.document,
            "users": self.decoy, "evaluations": self.evaluation, "jobs": self.job, "forget": self.erasure,
            "audit": self.hold, "conversations": answer.get("conversation"), "answers": answer.get("id"),
        }.get(kind)

    def fresh(self, kind, who):
        make = {
            "collections": self.make_collection, "groups": self.make_group, "sources": self.make_source,
            "documents": self.make_document, "users": lambda: self.make_user(READER), "audit": self.make_hold,
            "evaluations": self.make_evaluation, "api-keys": lambda: self.make_api_key(who), "sessions": self.sign_in,
        }
        if kind == "conversations" and who in self.answers:
            return self.ask(who)["conversation"]
        return make[kind]() if kind in make else None

    def fields(self, operation, who):
        """Returns values for what a query or a body may name."""
        if who in OUTSIDERS:
            return {}
        found = {
            "collection": COLLECTION, "collections": [COLLECTION], "user": self.decoy, "users": [self.decoy],
            "base": self.evaluation, "candidate": self.evaluation, "model": "kura", "current": PASSWORD, "new": PASSWORD,
        }
        if who in self.answers:
            found["conversation"] = self.answers[who]["conversation"]
        if operation[1].startswith("/scim/v2/"):
            return self.provisioned_fields(operation[1])
        match operation:
            case ("POST", "/api/v1/session"):
                found |= {"name": EDITOR, "password": PASSWORD, "totp": None}
            case ("POST", "/api/v1/session/totp"):
                found |= {"password": PASSWORD}
            case ("POST", "/api/v1/forget"):
                self.release_holds()
                found |= {"documents": [self.make_document()], "person": self.make_user(READER), "words": []}
            case ("POST", "/api/v1/documents"):
                found |= {"source": self.name("upload"), "readers": '["everyone"]', "denied": "[]", "metadata": {},
                          "priority": "high", "file": [LEAVE.encode()]}
            case ("POST", "/api/v1/users"):
                found |= {"name": self.name("user"), "password": PASSWORD, "email": None, "groups": [self.group]}
            case ("POST", "/v1/chat/completions"):
                found |= {"messages": [{"role": "user", "content": QUESTION}], "n": 1}
            case ("PUT", "/api/v1/answers/{id}/feedback"):
                found |= {"document": self.document}
            case ("POST", "/api/v1/search/explain"):
                found |= {"document": self.document, "query": QUESTION, "filter": None, "groups": ["everyone"]}
            case ("POST", "/api/v1/sources"):
                found |= {"name": self.name("source")}
            case ("GET", "/api/v1/api-keys") | ("GET" | "DELETE", "/api/v1/sessions") | ("POST", "/api/v1/api-keys"):
                del found["user"]
                if who in (OPERATOR, ADMIN):
                    found |= {"user": self.decoy}
            case ("POST", "/v1/embeddings"):
                found |= {"dimensions": None, "input": [QUESTION]}
            case ("POST", "/api/v1/evaluations"):
                queries = [{"text": QUESTION, "relevant": {EXTERNAL_ID: 1}}]
                found |= {"name": self.name("evaluation"), "queries": queries, "answers": None, "retrieval": None, "max_queries": 1}
        return found

    def provisioned_fields(self, path):
        """The same, of what a directory says. A selection and its opposite exclude each other."""
        change = {"op": "replace", "path": "displayName", "value": self.name("Name")}
        return {
            "userName": self.name("person"), "displayName": self.name("Name"), "members": [{"value": self.person}],
            "emails": [{"value": "a@example.com", "type": "work"}], "Operations": [change],
            "filter": "displayName pr", "excludedAttributes": [] if path.endswith(".search") else "",
        }

    def plain(self):
        """Requests that succeed, for operations that random cases seldom get right."""
        evaluations = f"base={self.evaluation}&candidate={self.evaluation}"
        return {
            ("GET", "/api/v1/evaluations/compare"): (f"/api/v1/evaluations/compare?{evaluations}", {}),
            ("POST", "/api/v1/api-keys"): ("/api/v1/api-keys", {"json": {"name": self.name("key"), "user": self.users[READER]}}),
            ("POST", "/api/v1/documents"): (
                "/api/v1/documents", {"data": {"collection": COLLECTION}, "files": {"file": ("plain.md", b"# Plain\n\nA plain text.\n")}},
            ),
        }

    def own_place(self, place):
        """Returns a source's place without anything beyond this machine in it, and nothing but this module's on it."""
        nowhere = "http://127.0.0.1:9"
        inside = {"path": str(self.folder), "url": f"file://{self.folder}", "urls": [nowhere], "hosts": [],
                  "endpoint": nowhere, "host": "127.0.0.1"}
        return {name: inside.get(name, value) for name, value in place.items()} if isinstance(place, dict) else place

    def restore(self, operation, who):
        """Undoes what would keep the next cases from anything but a refusal."""
        match operation:
            case ("POST", "/api/v1/jobs/pause" | "/api/v1/jobs/{id}/cancel"):
                self.call("POST", "/api/v1/jobs/resume")
            case ("PUT", "/api/v1/collections/{name}/members"):
                self.keep_members()
            case ("PUT", "/api/v1/documents/{id}/acl"):
                self.post(f"/api/v1/documents/{self.document}/acl", {"readers": ["everyone"]}, method="PUT")
            case ("PUT" | "PATCH", "/api/v1/audit/holds/{name}") | ("POST", "/api/v1/forget"):
                self.release_holds()
                self.hold = self.make_hold()
            case ("DELETE", "/api/v1/session" | "/api/v1/sessions" | "/api/v1/sessions/{id}") | ("PUT", "/api/v1/session/password"):
                self.sign_in()
            case ("PATCH", "/api/v1/users/{id}"):
                self.decoy = self.make_user(READER)

    def keep_members(self):
        """Lets everyone read the handbook, and the editor change it, whatever a case made of that."""
        members = [{"group": "everyone", "role": "reader"}, {"group": f"user:{EDITOR}", "role": "editor"}]
        self.post(f"/api/v1/collections/{COLLECTION}/members", members, method="PUT")

    def release_holds(self):
        for hold in self.list("/api/v1/audit/holds"):
            self.call("DELETE", f"/api/v1/audit/holds/{quote(hold['name'], safe='')}")

    # Making one more of a kind.

    def name(self, kind):
        return f"{kind}-{next(self.numbers)}"

    def make_collection(self):
        name = self.name("collection")
        self.post("/api/v1/collections", {"name": name})
        return name

    def put_document(self, external_id, text, media_type="text/markdown"):
        path = f"/api/v1/collections/{COLLECTION}/documents/{external_id}"
        return self.call("PUT", path, data=text.encode(), headers={"Content-Type": media_type}).json()

    def make_pushed(self):
        external_id = self.name("pushed")
        self.put_document(external_id, f"# {external_id}\n\nAnother {external_id} of the handbook.\n")
        return external_id

    def make_document(self):
        external_id = self.name("document")
        return self.put_document(external_id, f"# {external_id}\n\nThe text of {external_id}.\n")["document"]["id"]

    def make_job(self):
        """A job that waits: its turn comes when jobs go on."""
        self.call("POST", "/api/v1/jobs/pause")
        external_id = self.name("job")
        return self.put_document(external_id, f"# {external_id}\n\nNobody has read {external_id} yet.\n")["job"]["id"]

    def make_user(self, role):
        name = role if role not in self.users else self.name("user")
        self.post("/api/v1/users", {"name": name, "role": role, "password": PASSWORD})
        return name

    def make_api_key(self, who):
        made = self.post("/api/v1/api-keys", {"name": self.name("key"), "user": self.users.get(who, self.users[READER])})
        return made["api_key"]["id"]

    def make_group(self):
        name = self.name("group")
        self.post("/api/v1/groups", {"name": name})
        return name

    def provision(self, kind):
        """A person or a group that a directory has made."""
        name = self.name(kind)
        body = {"userName": name} if kind == "Users" else {"displayName": name}
        return self.post(f"/scim/v2/{kind}", body)["id"]

    def make_source(self):
        name = self.name("source")
        place = {"kind": "folder", "path": str(self.folder)}
        self.post("/api/v1/sources", {"name": name, "place": place, "collection": "synced", "prefix": name})
        return name

    def make_hold(self):
        name = self.name("hold")
        self.call("PUT", f"/api/v1/audit/holds/{name}")
        return name

    def make_evaluation(self):
        """Evaluations run one at a time."""
        queries = [{"text": QUESTION, "relevant": {EXTERNAL_ID: 1}}]
        body = {"name": self.name("evaluation"), "collection": COLLECTION, "queries": queries}
        self.wait_for_evaluations()
        made = self.post("/api/v1/evaluations", body)["id"]
        self.wait_for_evaluations()
        return made

    def wait_for_evaluations(self):
        deadline = time.monotonic() + 120
        while any(evaluation["state"] == "running" for evaluation in self.list("/api/v1/evaluations?limit=200")):
            assert time.monotonic() < deadline, "an evaluation does not end"
            time.sleep(0.05)

    def make_erasure(self):
        """Needs that no hold keeps everything."""
        document = self.make_document()
        self.release_holds()
        made = self.post("/api/v1/forget", {"documents": [document]})
        self.hold = self.make_hold()
        return made["id"]

    def ask(self, who):
        body = {"question": QUESTION, "mode": "extractive", "stream": False}
        answer = self.post("/api/v1/ask", body, who)
        self.post(f"/api/v1/answers/{answer['id']}/feedback", {"rating": "up"}, who, method="PUT")
        return answer
