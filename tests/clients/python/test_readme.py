"""Runs the README's examples as they stand there, only with the ports of the test's server."""

import os
import re
import subprocess
import sys

import pytest
from server import PATIENCE_SECONDS, ROOT, Server

BLOCKS = re.findall(r"^```(sh|python|js)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
# The two blocks of one command build and test the project; this test is part of them.
EXAMPLES = [(kind, text) for kind, text in BLOCKS if not text.startswith("scripts/")]


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def test_the_readme_has_its_examples():
    assert [kind for kind, _ in EXAMPLES] == ["sh", "python", "js", "python", "python", "python"]


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_an_example(server, kind, text, tmp_path):
    text = text.replace("6379", str(server.port)).replace("7379", str(server.lane_ports[0]))
    command = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable], "js": ["node"]}[kind]
    # Node looks for packages beside the file.
    folder = ROOT / "tests/clients/node" if kind == "js" else tmp_path
    if kind == "js" and not (folder / "node_modules").exists():
        pytest.skip("the packages of node are not installed; scripts/test node installs them")
    path = folder / f".readme-{os.getpid()}.{'mjs' if kind == 'js' else kind}"
    path.write_text(text)
    try:
        done = subprocess.run(
            [*command, str(path)], capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
    finally:
        path.unlink()
    assert done.returncode == 0, done.stderr
    if kind == "sh":
        assert "hello" in done.stdout
        assert "lane0:" in done.stdout
        assert "[OK] All 16384 slots covered." in done.stdout
    if kind == "js":
        assert done.stdout == "Ada\n"
