"""The tools that come with Redis: redis-cli and redis-benchmark."""

import subprocess

import pytest
import redis
from server import Server, lanes


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, timeout=120)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.decode()


def cli(server, *arguments, text=None):
    return run("redis-cli", "-p", str(server.port), *arguments, text=text)


def test_redis_cli(server):
    assert cli(server, "set", "a", "1", "ex", "100") == "OK\n"
    assert cli(server, "-3", "get", "a") == "1\n"
    assert cli(server, "-c", "get", "a") == "1\n"
    # Through a lane's door, following where it points.
    for port in server.lane_ports:
        assert run("redis-cli", "-c", "-p", str(port), "get", "a") == "1\n"
    assert cli(server, text=b"set b 2\nget b\n") == "OK\n2\n"


def test_redis_cli_scans_and_pipes(server):
    commands = b"".join(b"SET pipe:%d %d\r\n" % (number, number) for number in range(5000))
    assert "errors: 0, replies: 5000" in cli(server, "--pipe", text=commands)
    keys = cli(server, "--scan", "--pattern", "pipe:*").split()
    assert sorted(keys) == sorted(f"pipe:{number}" for number in range(5000))
    assert "Sampled" in cli(server, "--bigkeys")


def test_redis_cli_checks_the_cluster(server):
    for port in (server.port, *server.lane_ports):
        report = run("redis-cli", "--cluster", "check", f"127.0.0.1:{port}")
        assert "[OK] All 16384 slots covered." in report
        assert "[OK] All nodes agree about slots configuration." in report


def test_redis_benchmark(server):
    report = run(
        "redis-benchmark", "-p", str(server.port), "-n", "20000", "-r", "1000", "-P", "16", "-q",
        "-t", "ping,set,get,incr,mset",
    )  # fmt: skip
    assert report.count("requests per second") == 6, report
    assert "rror" not in report


def test_redis_benchmark_as_a_cluster_client(server):
    def detours():
        moved = client.info("stats")["moved_replies"]
        return moved, sum(lane["requests_sent"] for lane in lanes(client))

    # The port that it is given stays in use for the first node, so it has to be a lane's.
    port = str(server.lane_ports[0])
    with redis.Redis(port=server.port) as client:
        before = detours()
        report = run(
            "redis-benchmark", "--cluster", "-p", port, "-n", "20000", "-r", "1000",
            "-q", "-t", "set,get",
        )  # fmt: skip
        assert report.count("requests per second") == 2, report
        assert detours() == before


def test_redis_cli_with_every_type(server):
    lines = b"""flushall
rpush l a b c
lrange l 0 -1
hset h f v g w
hgetall h
sadd e 1 2 3
scard e
zadd z 1.5 m 2 n
zrange z 0 -1 withscores
xadd x 1-1 f v
xrange x - +
setbit b 3 1
pfadd p a b
geoadd g 13.36 38.11 Palermo
multi
incr n
incr n
exec
blpop l 0
publish nobody hi
object encoding h
"""
    said = cli(server, text=lines).splitlines()
    assert said == (
        "OK 3 a b c 2 f v g w 3 3 2 m 1.5 n 2 1-1 1-1 f v 0 1 1 OK QUEUED QUEUED 1 2 l a 0 listpack".split()
    )
    assert cli(server, "-3", "hgetall", "h").split() == ["f", "v", "g", "w"]
    assert cli(server, "--json", "zrange", "z", "0", "-1") == '["m","n"]\n'


def test_redis_cli_runs_script_files(server, tmp_path):
    script = tmp_path / "sum.lua"
    script.write_text("return redis.call('INCRBY', KEYS[1], ARGV[1]) + tonumber(ARGV[2])")
    run("redis-cli", "-p", str(server.port), "del", "sum")
    said = run("redis-cli", "-p", str(server.port), "--eval", str(script), "sum", ",", "4", "5")
    assert said == "9\n"
    assert "mem_allocator" in cli(server, "info", "memory")
    assert "Biggest" in run("redis-cli", "-p", str(server.port), "--bigkeys")
