"""The PyPI package `canaille`, set up as a company would: people with groups, and kura as a client.

Settings come as JSON in the first argument. `clockOffset` puts its clock off by so many seconds.
"""

import json
import sys
import time
from urllib.parse import urlsplit

settings = json.loads(sys.argv[1])
real_time = time.time
time.time = lambda: real_time() + settings["clockOffset"]

from canaille import create_app  # noqa: E402
from canaille.app import models  # noqa: E402
from canaille.backends import Backend  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

address = urlsplit(settings["issuer"])
app = create_app(
    {
        "SECRET_KEY": "a key for the cookies of tests",
        "SERVER_NAME": address.netloc,
        "PREFERRED_URL_SCHEME": "http",
        "SESSION_COOKIE_SECURE": False,
        "CANAILLE": {"DATABASE": "memory", "CAPTCHA_ENABLED": False},
        "CANAILLE_OIDC": {
            "ACTIVE_JWKS": [settings["key"]],
            "USERINFO_MAPPING": {"PREFERRED_USERNAME": "{{ user.user_name }}"},
        },
    }
)
with app.app_context():
    store = Backend.instance.save
    people = {}
    for name, claims in settings["people"].items():
        person = models.User(
            user_name=name,
            formatted_name=claims["name"],
            family_name=claims["name"],
            emails=[claims["email"]],
            password=settings["password"],
        )
        store(person)
        people[name] = person
    for group in sorted({group for claims in settings["people"].values() for group in claims["groups"]}):
        members = [people[name] for name, claims in settings["people"].items() if group in claims["groups"]]
        store(models.Group(display_name=group, members=members))
    client = models.Client(
        client_id=settings["client"],
        client_secret=settings["secret"],
        client_name="kura",
        redirect_uris=[settings["callback"]],
        post_logout_redirect_uris=[settings["home"]],
        grant_types=["authorization_code"],
        response_types=["code"],
        scope=["openid", "profile", "email", "groups"],
        token_endpoint_auth_method="client_secret_basic",
        # Clients of trusted domains, such as 127.0.0.1, need no consent.
        client_uri=settings["home"],
    )
    store(client)
    client.audience = [client]
    store(client)

print("ready", flush=True)
make_server(address.hostname, address.port, app, threaded=True).serve_forever()
