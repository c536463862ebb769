"""`ringlane import` with a real redis-server as the source: every type, databases, expiries, refusals,
and a copy that is killed in the middle and goes on."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
import redis
from server import BINARY, PATIENCE_SECONDS, Server

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")


FUNCTIONS_STAY = "; functions are not copied: FUNCTION DUMP on the source and FUNCTION RESTORE on the target do that\n"


@contextlib.contextmanager
def source(tmp_path, *arguments):
    """A redis-server on a free port; its word that it is ready is awaited."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if "Ready to accept connections" in line:
                break
        with redis.Redis(port=port) as client:
            yield client
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()


def port_of(client):
    return client.connection_pool.connection_kwargs["port"]


def command(client, server, *arguments):
    addresses = (f"redis://127.0.0.1:{port}" for port in (port_of(client), server.port))
    return [BINARY, "import", "--from", next(addresses), "--to", next(addresses), *arguments]


def copy(client, server, *arguments):
    return subprocess.run(
        command(client, server, *arguments), capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )


def fill(client):
    """Values of every type, small and large; how many."""
    pipe = client.pipeline(transaction=False)
    pipe.set("text", "hello")
    pipe.set("bytes", bytes(range(256)) * 40)
    pipe.set("integer", 12345)
    pipe.pfadd("registers", *range(1000))
    for size in (3, 2000):
        pipe.rpush(f"list:{size}", *range(size))
        pipe.sadd(f"integers:{size}", *range(size))
        pipe.sadd(f"set:{size}", *(f"member{at}" for at in range(size)))
        pipe.hset(f"hash:{size}", mapping={f"field{at}": at for at in range(size)})
        pipe.zadd(f"sorted:{size}", {f"member{at}": at / 8 for at in range(size)})
        for at in range(size):
            pipe.xadd(f"stream:{size}", {"temperature": at, "room": f"r{at}"}, id=f"{at + 1}-1")
        pipe.xgroup_create(f"stream:{size}", "readers", id="0")
        pipe.xreadgroup("readers", "ann", {f"stream:{size}": ">"}, count=2)
        pipe.xack(f"stream:{size}", "readers", "1-1")
        pipe.xdel(f"stream:{size}", "3-1")
    pipe.xgroup_create("stream:empty", "readers", mkstream=True)
    pipe.execute()
    return client.dbsize()


READS = {
    b"string": lambda client, key: client.get(key),
    b"list": lambda client, key: client.lrange(key, 0, -1),
    b"set": lambda client, key: client.smembers(key),
    b"hash": lambda client, key: client.hgetall(key),
    b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    b"stream": lambda client, key: (client.xrange(key), client.xinfo_groups(key)),
}


def content(client):
    return {key: READS[client.type(key)](client, key) for key in client.scan_iter(count=1000)}


def test_every_type_arrives(tmp_path):
    with source(tmp_path) as client, Server() as server:
        count = fill(client)
        client.expire("text", 5000)
        done = copy(client, server)
        assert (done.returncode, done.stdout) == (0, f"{count} keys copied{FUNCTIONS_STAY}"), done
        with redis.Redis(port=server.port) as target:
            assert content(target) == content(client)
            assert 4000 < target.ttl("text") <= 5000
            assert target.ttl("integer") == -1
            entry = target.xpending_range("stream:3", "readers", "-", "+", 10)[0]
            assert (entry["message_id"], entry["consumer"]) == (b"2-1", b"ann")
            # It goes on where the source was.
            assert target.xreadgroup("readers", "ben", {"stream:2000": ">"}, count=1)[0][1][0][0] == b"4-1"


def test_what_is_there_stays_or_is_replaced_as_wanted(tmp_path):
    with source(tmp_path) as client, Server() as server, redis.Redis(port=server.port) as target:
        client.mset({"a": "theirs", "b": "theirs", "other": "theirs"})
        target.set("a", "ours")
        done = copy(client, server, "--keep-existing", "--match", "[ab]")
        assert done.stdout == "1 keys copied, 1 were there already and stay" + FUNCTIONS_STAY, done
        assert target.mget("a", "b", "other") == [b"ours", b"theirs", None]
        assert copy(client, server).returncode == 0
        assert target.mget("a", "b", "other") == [b"theirs"] * 3


def test_scans_that_find_nothing_are_gone_through(tmp_path):
    with source(tmp_path) as client, Server() as server, redis.Redis(port=server.port) as target:
        client.mset({f"other:{at}": at for at in range(1000)} | {"wanted": 1})
        done = copy(client, server, "--match", "wanted", "--batch", "10")
        assert done.stdout == "1 keys copied" + FUNCTIONS_STAY, done
        assert target.keys() == [b"wanted"]


def test_databases(tmp_path):
    with source(tmp_path) as client, Server() as server:
        for database in (0, 3, 9):
            with redis.Redis(port=port_of(client), db=database) as there:
                there.set("k", database)
        done = copy(client, server, "--database", "3", "--database", "9")
        assert done.stdout == "2 keys copied" + FUNCTIONS_STAY, done
        for database, expected in ((0, None), (3, b"3"), (9, b"9")):
            with redis.Redis(port=server.port, db=database) as there:
                assert there.get("k") == expected


def test_a_database_named_by_the_address(tmp_path):
    with source(tmp_path) as client, Server() as server:
        for database in (0, 3):
            with redis.Redis(port=port_of(client), db=database) as there:
                there.set("k", database)
        addresses = [f"redis://127.0.0.1:{port_of(client)}/3", "--to", f"redis://127.0.0.1:{server.port}"]
        run = lambda *more: subprocess.run(
            [BINARY, "import", "--from", *addresses, *more],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        refused = run("--database", "4")
        assert refused.returncode == 1 and "names database 3" in refused.stderr, refused
        done = run()
        assert done.stdout == "1 keys copied" + FUNCTIONS_STAY, done
        for database, expected in ((0, None), (3, b"3")):
            with redis.Redis(port=server.port, db=database) as there:
                assert there.get("k") == expected
        missing = copy(client, server, "--database", "99")
        assert missing.returncode == 1 and "database 99 of" in missing.stderr, missing


def test_a_copy_that_is_killed_goes_on(tmp_path):
    state = tmp_path / "state"
    with source(tmp_path) as client, Server() as server, redis.Redis(port=server.port) as target:
        pipe = client.pipeline(transaction=False)
        for at in range(20_000):
            pipe.set(f"key:{at}", at)
        pipe.execute()
        count = fill(client)
        arguments = ("--state", str(state), "--batch", "10")
        with subprocess.Popen(command(client, server, *arguments), stdout=subprocess.DEVNULL) as process:
            # In the middle: something has been copied, and it is not yet done.
            while target.dbsize() < 500:
                assert process.poll() is None, "it ended before it could be killed"
            process.kill()
        assert process.returncode < 0, "it ended before it was killed"
        assert re.fullmatch(r"from redis://127\.0\.0\.1:\d+\n0 \d+\n", state.read_text())
        # Of another source it is refused, and nothing is lost by that.
        elsewhere = [word.replace("127.0.0.1", "localhost") for word in command(client, server, *arguments)]
        other = subprocess.run(elsewhere, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        assert (other.returncode, "is of another copy" in other.stderr) == (1, True), other
        before = target.dbsize()
        done = copy(client, server, *arguments)
        assert done.returncode == 0, done
        copied = int(re.match(r"(\d+) keys copied", done.stdout)[1])
        assert copied < count, f"it began anew with {before} of {count} keys there"
        assert content(target) == content(client)
        assert not os.path.exists(state), "a copy that is done keeps no state"


@pytest.mark.parametrize(
    ("state", "expected"), [(True, "goes on from here"), (False, "with --state FILE it would go on")]
)
def test_a_copy_that_is_interrupted_says_how_to_go_on(tmp_path, state, expected):
    with source(tmp_path) as client, Server() as server, redis.Redis(port=server.port) as target:
        pipe = client.pipeline(transaction=False)
        for at in range(20_000):
            pipe.set(f"key:{at}", at)
        pipe.execute()
        arguments = ("--state", str(tmp_path / "state")) if state else ()
        arguments = command(client, server, "--batch", "10", *arguments)
        with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            while target.dbsize() < 500:
                assert process.poll() is None, "it ended before it could be interrupted"
            process.send_signal(signal.SIGINT)
            told = process.stderr.read()
        assert process.returncode == 130, told
        assert told.count("\n") == 1 and told.startswith("ringlane: interrupted; the same command again"), told
        assert expected in told, told


def test_a_server_is_not_copied_into_itself():
    with Server() as server:
        for host in ("127.0.0.1", "localhost"):
            done = subprocess.run(
                [BINARY, "import", "--from", f"redis://{host}:{server.port}", "--to", f"redis://127.0.0.1:{server.port}"],
                capture_output=True, text=True, timeout=PATIENCE_SECONDS,
            )  # fmt: skip
            assert done.returncode == 1
            assert "are the same server" in done.stderr and done.stderr.count("\n") == 1, done


def test_a_source_that_is_not_there_is_named(tmp_path):
    with source(tmp_path) as client:
        port = port_of(client)
    with Server() as server:
        done = subprocess.run(
            [BINARY, "import", "--from", f"redis://127.0.0.1:{port}", "--to", f"redis://127.0.0.1:{server.port}"],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"redis://127.0.0.1:{port}" in done.stderr and "is it running" in done.stderr, done
