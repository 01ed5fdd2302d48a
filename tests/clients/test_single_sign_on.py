"""Single sign-on at two unrelated real providers: npm's `oidc-provider` and PyPI's `canaille`."""

import base64
import contextlib
import json
import secrets
import socket
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from conftest import running

HERE = Path(__file__).resolve().parent
PASSWORD = "correct horse battery"
PEOPLE = {
    "taro": {
        "name": "Taro Yamada",
        "preferred_username": "taro",
        "email": "taro@example.com",
        "groups": ["people", "writers", "finance"],
    },
    "hanako": {
        "name": "Hanako Sato",
        "preferred_username": "hanako",
        "email": "hanako@example.com",
        "groups": ["people"],
    },
    "jiro": {
        "name": "Jiro Suzuki",
        "preferred_username": "jiro",
        "email": "jiro@example.com",
        "groups": ["guests"],
    },
}
COMMANDS = {
    "oidc-provider": ["node", str(HERE / "providers" / "oidc_provider.mjs")],
    "canaille": [sys.executable, str(HERE / "providers" / "canaille_server.py")],
}
# How far the clock has to be behind for a token that was just made to have expired.
EXPIRED = {"oidc-provider": -300, "canaille": -3700}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def new_key(name):
    """Returns a private RSA key as a JSON Web Key."""
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()

    def part(number):
        data = number.to_bytes((number.bit_length() + 7) // 8, "big")
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    parts = {"n": numbers.public_numbers.n, "e": numbers.public_numbers.e, "d": numbers.d, "p": numbers.p}
    parts |= {"q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    parts = {field: part(number) for field, number in parts.items()}
    return {"kty": "RSA", "kid": name, "use": "sig", "alg": "RS256", **parts}


class Provider:
    """A provider that can be stopped, and started again with another key or another clock."""

    def __init__(self, name, kura, directory):
        self.name = name
        self.log = directory / f"{name}.log"
        self.process = None
        self.settings = {
            "issuer": f"http://127.0.0.1:{free_port()}",
            "client": "kura",
            "secret": secrets.token_urlsafe(),
            "callback": f"{kura}/api/v1/session/oidc/callback",
            "logout": f"{kura}/api/v1/session/oidc/logout",
            "home": f"{kura}/",
            "people": PEOPLE,
            "password": PASSWORD,
            "key": new_key("first"),
            "clockOffset": 0,
        }

    def start(self, **changes):
        self.stop()
        self.settings |= changes
        address = urlsplit(self.settings["issuer"])
        with self.log.open("ab") as log:
            command = [*COMMANDS[self.name], json.dumps(self.settings)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=HERE)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection((address.hostname, address.port)).close()
                return
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None


class Form(HTMLParser):
    """The first form of a page."""

    def __init__(self, text):
        super().__init__()
        self.action = None
        self.fields = {}
        self.buttons = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attributes.get("action", "")
        elif tag == "input" and "name" in attributes:
            self.fields.setdefault(attributes["name"], attributes.get("value") or "")
        elif tag == "button" and "name" in attributes:
            self.buttons.setdefault(attributes["name"], attributes.get("value") or "")


class Browser:
    """Someone who follows links, fills in forms and keeps cookies."""

    def __init__(self, kura):
        self.kura = kura
        self.session = requests.Session()

    def start(self):
        return self.session.get(f"{self.kura}/api/v1/session/oidc/start?return_to=/documents", timeout=30)

    def fill_in(self, page, answers):
        """Fills in forms until the way leads to kura; returns where that is."""
        for _ in range(8):
            if page.url.startswith(self.kura):
                return page.url.removeprefix(self.kura)
            form = Form(page.text)
            assert form.action is not None, f"{page.url} {page.status_code}\n{page.text}"
            fields = form.buttons | form.fields
            fields |= {name: value for name, value in answers.items() if name in form.fields or name in form.buttons}
            page = self.session.post(urljoin(page.url, form.action), data=fields, timeout=30)
        raise AssertionError(f"the forms do not end: {page.url}\n{page.text}")

    def sign_in(self, name):
        return self.fill_in(self.start(), {"login": name, "password": PASSWORD})

    def call(self, method, path):
        """Calls kura as its own page does."""
        headers = {"sec-fetch-site": "same-origin"}
        return self.session.request(method, f"{self.kura}{path}", headers=headers, timeout=30)

    def me(self):
        return self.call("GET", "/api/v1/session")


class Desk:
    """A kura with its provider."""

    def __init__(self, kura, key, provider):
        self.kura = kura
        self.key = key
        self.provider = provider

    def browser(self):
        return Browser(self.kura)

    def api(self, method, path, **arguments):
        headers = {"authorization": f"Bearer {self.key}"}
        return requests.request(method, f"{self.kura}{path}", headers=headers, timeout=30, **arguments)

    def last(self, action):
        records = self.api("GET", f"/api/v1/audit?action={action}&limit=1").json()
        return records["items"][0]


@pytest.fixture(scope="module", params=list(COMMANDS))
def desk(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param)
    port = free_port()
    kura = f"http://127.0.0.1:{port}"
    provider = Provider(request.param, kura, directory)
    secret = directory / "secret"
    secret.write_text(provider.settings["secret"] + "\n")
    config = f"""
        [models]
        embedder = "all-minilm-l6-v2"
        generator = ""
        [auth]
        public_url = "{kura}"
        [auth.oidc]
        issuer = "{provider.settings["issuer"]}"
        client_id = "kura"
        client_secret_file = "{secret}"
        label = "{request.param}"
        scopes = ["profile", "email", "groups"]
        groups = ["people=staff"]
        group_prefix = "sso-"
        editor_groups = ["writers"]
        reader_groups = ["people"]
        clock_skew_secs = 60
    """
    # The provider is not there yet: kura starts all the same.
    with running(directory, config, f"127.0.0.1:{port}") as (url, key):
        assert url == kura
        try:
            yield Desk(kura, key, provider)
        finally:
            provider.stop()


@pytest.fixture(autouse=True)
def provider_as_it_should_be(desk):
    if desk.provider.process is None or desk.provider.settings["clockOffset"]:
        desk.provider.start(clockOffset=0)


def test_kura_does_without_the_provider(desk):
    desk.provider.stop()
    page = desk.browser().session.get(f"{desk.kura}/api/v1/session/oidc/start", allow_redirects=False, timeout=30)
    # The first time it has to be asked who it is; later the browser finds that it is away.
    assert page.status_code == 303
    assert page.headers["location"] == "/?sign_in=unavailable"
    person = {"name": "break-glass", "password": PASSWORD, "role": "admin"}
    assert desk.api("POST", "/api/v1/users", json=person).status_code == 201
    browser = desk.browser()
    body = {"name": "break-glass", "password": PASSWORD}
    assert browser.session.post(f"{desk.kura}/api/v1/session", json=body, timeout=30).status_code == 200
    assert browser.me().json()["role"] == "admin"


def test_people_sign_in_with_their_groups(desk):
    taro = desk.browser()
    assert taro.sign_in("taro") == "/documents"
    me = taro.me().json()
    assert (me["name"], me["display_name"], me["role"]) == ("taro", "Taro Yamada", "editor")
    assert sorted(me["groups"]) == ["sso-finance", "sso-writers", "staff"]
    user = desk.api("GET", "/api/v1/users/taro").json()
    assert user["source"] == desk.provider.settings["issuer"]
    assert user["email"] == "taro@example.com"
    record = desk.last("session.create")
    assert (record["name"], record["outcome"]["result"]) == ("taro", "success")

    hanako = desk.browser()
    assert hanako.sign_in("hanako") == "/documents"
    assert (hanako.me().json()["role"], hanako.me().json()["groups"]) == ("reader", ["staff"])

    jiro = desk.browser()
    assert jiro.sign_in("jiro") == "/?sign_in=no_role"
    assert jiro.me().status_code == 401
    assert desk.last("session.create")["details"]["reason"] == "no_role"


def test_signing_out_here_signs_out_there(desk):
    taro = desk.browser()
    assert taro.sign_in("taro") == "/documents"
    # The provider knows the browser and asks nothing, save perhaps whether that is fine.
    assert taro.fill_in(taro.start(), {}) == "/documents"
    left = taro.call("DELETE", "/api/v1/session")
    assert left.status_code == 200, left.text
    assert taro.me().status_code == 401
    there = taro.session.get(left.json()["provider_url"], timeout=30)
    assert taro.fill_in(there, {"logout": "yes"}) == "/"
    # Now it asks who one is.
    page = taro.start()
    assert "login" in Form(page.text).fields, page.text


def test_signing_out_there_signs_out_here(desk):
    if desk.provider.name == "canaille":
        # It has no back-channel logout.
        description = requests.get(f"{desk.provider.settings['issuer']}/.well-known/openid-configuration", timeout=30)
        assert not description.json().get("backchannel_logout_supported")
        return
    taro, elsewhere, hanako = desk.browser(), desk.browser(), desk.browser()
    for browser, name in [(taro, "taro"), (elsewhere, "taro"), (hanako, "hanako")]:
        assert browser.sign_in(name) == "/documents"
    page = taro.session.get(f"{desk.provider.settings['issuer']}/session/end?client_id=kura", timeout=30)
    form = Form(page.text)
    taro.session.post(urljoin(page.url, form.action), data=form.fields | {"logout": "yes"}, timeout=30)
    deadline = time.monotonic() + 20
    while taro.me().status_code == 200:
        assert time.monotonic() < deadline, desk.provider.log.read_text()
        time.sleep(0.1)
    # That session ended, and neither the person's other one nor another's.
    assert elsewhere.me().status_code == 200
    assert hanako.me().status_code == 200
    record = desk.last("session.revoke")
    assert record["authentication"] == "identity_provider"
    assert record["details"]["n_sessions"] == 1


def test_keys_change(desk):
    assert desk.browser().sign_in("taro") == "/documents"
    for name in ["second", "third"]:
        desk.provider.start(key=new_key(name))
        assert desk.browser().sign_in("taro") == "/documents", name


def test_clocks_differ(desk):
    for offset in [30, -30]:
        desk.provider.start(clockOffset=offset)
        assert desk.browser().sign_in("taro") == "/documents", offset
    for offset, reason in [(300, "not_yet_valid"), (EXPIRED[desk.provider.name], "expired")]:
        desk.provider.start(clockOffset=offset)
        browser = desk.browser()
        assert browser.sign_in("taro") == "/?sign_in=refused", offset
        assert browser.me().status_code == 401
        assert desk.last("session.create")["details"]["reason"] == reason


def test_the_log_holds_and_tells_no_secret(desk):
    assert desk.api("GET", "/api/v1/audit/verify").json()["findings"] == []
    records = json.dumps(desk.api("GET", "/api/v1/audit?limit=200").json())
    for secret in [desk.provider.settings["secret"], PASSWORD, "eyJ"]:
        assert secret not in records
    log = (desk.provider.log.parent / "server.log").read_text()
    for secret in [desk.provider.settings["secret"], PASSWORD, "eyJ", "code="]:
        assert secret not in log
