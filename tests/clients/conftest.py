"""A running kura for the clients to talk to."""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """Starts the real binary with real models and the handbook; yields its URL and key."""
    directory = tmp_path_factory.mktemp("kura")
    with running(directory, ingest=FIXTURES / "handbook") as server:
        yield server


@contextlib.contextmanager
def running(directory, config="", listen="127.0.0.1:0", ingest=None):
    """Runs the real binary with this configuration; yields its URL and key."""
    binary, models = os.environ["KURA_BIN"], os.environ["KURA_MODELS_DIR"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KURA_")}
    environment["KURA__MODELS__DIR"] = models
    file = directory / "kura.toml"
    file.write_text(config)
    command = [binary, "--data-dir", str(directory / "data"), "--config", str(file)]
    if ingest:
        adding = [*command, "ingest", str(ingest), "--collection", ingest.name]
        subprocess.run(adding, env=environment, check=True, stdout=subprocess.DEVNULL)
    log = directory / "server.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen([*command, "serve", "--listen", listen], env=environment, stderr=stderr)
    try:
        yield wait_until_ready(process, log)
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def wait_until_ready(process, log):
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        text = log.read_text()
        url = re.search(r"kura is ready on (http://[0-9.:]+)", text)
        key = re.search(r"kura_[A-Za-z0-9_-]{43}", text)
        if url and key:
            return url.group(1), key.group(0)
        time.sleep(0.2)
    raise AssertionError(f"the server does not start:\n{log.read_text()}")
