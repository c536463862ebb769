"""A real server for a test: on a free port, found by its own word, stopped by its process id."""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("RINGLANE_BINARY", str(TARGET / "test-server" / "ringlane"))
# Only a server that hangs ever takes this long.
PATIENCE_SECONDS = 60


class Server:
    """Starts with the given settings (underscores for dashes); use it in a `with`."""

    def __init__(self, *arguments, environment=None, **settings):
        settings = {"port": 0, "lanes": 2, "maxmemory": "256mb"} | settings
        self.command = [BINARY, *arguments]
        for name, value in settings.items():
            self.command += [f"--{name.replace('_', '-')}", str(value)]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("RINGLANE_")}
        self.environment = inherited | (environment or {})
        self.expected_code = 0

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        line = self.process.stdout.readline()
        match = re.fullmatch(r"ready port=(\d+) lane-ports=([\d,]+)\n", line)
        if not match:
            self.process.wait(PATIENCE_SECONDS)
            raise AssertionError(f"{self.command} did not start: {line!r} {self.logged()}")
        self.port = int(match[1])
        self.lane_ports = [int(port) for port in match[2].split(",")]
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        text = self.logged()
        self.log.close()
        if kind is None:
            assert code == self.expected_code, f"the server ended with {code}: {text}"

    def logged(self):
        """Everything on standard error so far."""
        self.log.seek(0)
        return self.log.read()


def lanes(client):
    """INFO's line of each lane: a list of dicts with integers where they are."""
    info = client.info("lanes")
    return [info[f"lane{number}"] for number in range(info.get("lanes", 99)) if f"lane{number}" in info]
