"""The program itself: settings from everywhere, signals, logs, and starts that fail."""

import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

import pytest
import redis
from server import BINARY, PATIENCE_SECONDS, ROOT, Server


def fails(*arguments, environment=None, prepare=None, binary=BINARY):
    """The one line that a start which cannot be says."""
    done = subprocess.run(
        [binary, *arguments],
        env={**os.environ, **(environment or {})},
        preexec_fn=prepare,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1, done
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.startswith("ringlane: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_start_that_cannot_be_says_what_to_change(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text('port = 0\nmaxmemory = "lots"\n')
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1\n")
    for arguments, expected in [
        (["--port", "70000"], "bad value '70000' for port (command line, --port)"),
        (["--maxmemry", "1gb"], "did you mean '--maxmemory'?"),
        ([str(bad)], f"bad value 'lots' for maxmemory ({bad}, line 2)"),
        ([str(broken)], f"{broken}, line 1"),
        (["/nowhere.toml"], "cannot read the settings in /nowhere.toml"),
        (["--bind", "192.0.2.1", "--port", "0"], "is no address of this host"),
        (["--logfile", "/nowhere/log", "--port", "0"], "cannot open the log file /nowhere/log"),
    ]:
        assert expected in fails(*arguments)
    assert "RINGLANE_TIMEOUT" in fails(environment={"RINGLANE_TIMEOUT": "soon"})


def test_a_busy_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fails("--port", str(port), "--lane-port-base", "0")
        assert f"127.0.0.1:{port} is in use" in line
        assert "--port" in line


def forbid_io_uring():
    """As the seccomp profiles of containers do: io_uring_setup (call 425) answers EPERM."""
    load, equal, answer = 0x20, 0x15, 0x06
    steps = [(load, 0, 0, 0), (equal, 0, 1, 425), (answer, 0, 0, 0x00050001), (answer, 0, 0, 0x7FFF0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    filters = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, seccomp, with_filter = 38, 22, 2
    assert libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0
    assert libc.prctl(seccomp, with_filter, filters, 0, 0) == 0


def test_a_container_without_io_uring_is_told_what_to_change():
    line = fails("--port", "0", prepare=forbid_io_uring)
    assert "io_uring" in line
    assert "kernel.io_uring_disabled" in line


def test_too_few_descriptors_lower_maxclients_with_a_warning():
    # Without the right to raise the hard limit (CAP_SYS_RESOURCE) it holds; with it, it is raised.
    with Server(maxclients=5000) as server, redis.Redis(port=server.port) as client:
        assert client.config_get("maxclients") == {"maxclients": "5000"}
        limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text()
        assert int(re.search(r"Max open files\s+(\d+)", limits)[1]) >= 5000


def test_every_source_of_settings(tmp_path):
    path = tmp_path / "ringlane.toml"
    path.write_text("# of the shop\ntimeout = 100 # idle\nslowlog-max-len = 5\nmaxclients = 50\n")
    environment = {"RINGLANE_SLOWLOG_MAX_LEN": "6", "RINGLANE_MAXCLIENTS": "60"}
    with Server(str(path), environment=environment, maxclients=70) as server:
        with redis.Redis(port=server.port, decode_responses=True) as client:
            for name, value in [("timeout", "100"), ("slowlog-max-len", "6"), ("maxclients", "70")]:
                assert client.config_get(name) == {name: value}
            client.config_set("timeout", 200)
            client.config_rewrite()
            assert client.info("server")["config_file"] == str(path)
    text = path.read_text()
    assert text.startswith("# of the shop\ntimeout = 200 # idle\nslowlog-max-len = 6\nmaxclients = 70\n")


def test_logs_are_json_for_machines_and_follow_the_level(tmp_path):
    path = tmp_path / "log"
    with Server(logfile=path) as server, redis.Redis(port=server.port) as client:
        moved = tmp_path / "log.1"
        path.rename(moved)
        server.process.send_signal(signal.SIGHUP)
        while not path.exists() or not path.read_text():
            pass
        client.config_set("loglevel", "warning")
    first = [json.loads(line) for line in moved.read_text().splitlines()]
    assert first[0]["message"].startswith("Ready to accept connections on 127.0.0.1:")
    second = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["message"] for line in second] == ["log file opened again"]


def test_signals_and_shutdown_end_it():
    for number in (signal.SIGTERM, signal.SIGINT):
        with Server() as server, redis.Redis(port=server.port) as client:
            client.ping()
            server.process.send_signal(number)
            assert server.process.wait(PATIENCE_SECONDS) == 0
    with Server() as server, redis.Redis(port=server.port) as client:
        client.shutdown(nosave=True)
        assert server.process.wait(PATIENCE_SECONDS) == 0


def test_a_second_signal_ends_it_at_once():
    with Server() as server:
        # Both wait for the stopped process, so that neither comes too late for the other.
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            server.process.send_signal(number)
        assert server.process.wait(PATIENCE_SECONDS) == 1
        assert "stopped at once by a second signal" in server.logged()
        server.expected_code = 1


def test_systemd_is_told(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_SECONDS)
        with Server(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            assert b"READY=1" in manager.recv(4096)
        assert b"STOPPING=1" in manager.recv(4096)


def test_help_version_and_reference():
    def output(argument):
        return subprocess.run([BINARY, argument], capture_output=True, text=True, check=True).stdout

    assert re.fullmatch(r"ringlane \d+\.\d+\.\d+\n", output("--version"))
    assert "--maxmemory-policy" in output("--help")
    assert output("--print-settings-reference") == (ROOT / "docs/settings.md").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may drop to another user")
def test_limits_of_an_ordinary_user():
    """A hard limit that cannot be raised: the server starts with fewer clients and says so."""
    command = 'ulimit -Hn 300; ulimit -n 300; exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0" "$@"'
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        server = Server(maxclients=1000)
        server.command = ["bash", "-c", command, shutil.copy(BINARY, folder), *server.command[1:]]
        with server, redis.Redis(port=server.port) as client:
            allowed = int(client.config_get("maxclients")["maxclients"])
            assert 50 < allowed < 300
            assert "the limit of open files is 300" in server.logged()


def test_too_little_locked_memory_is_named():
    if os.geteuid() != 0:
        prepare = lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    else:
        # Root may lock what it likes: as an ordinary user, from a folder that one can enter.
        def prepare():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        binary = shutil.copy(BINARY, folder)
        assert "ulimit -l" in fails("--port", "0", prepare=prepare, binary=binary)
