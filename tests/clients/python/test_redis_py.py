"""redis-py, unmodified, as an application uses it."""

import threading
import time

import pytest
import redis
from server import Server, lanes


def eventually(holds, patience_seconds=30):
    """Waits until it holds; the time decides nothing but when to give up."""
    end = time.monotonic() + patience_seconds
    while not holds():
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


def test_a_session_store_with_expiry(client):
    client.set("session:1", '{"user": 7}', ex=1800)
    client.set("session:2", '{"user": 8}', px=200)
    assert client.get("session:1") == '{"user": 7}'
    assert 1790 <= client.ttl("session:1") <= 1800
    # A visit makes the session last longer.
    assert client.getex("session:1", ex=3600) == '{"user": 7}'
    assert 3590 <= client.ttl("session:1") <= 3600
    # Gone by itself, from memory as well.
    eventually(lambda: client.dbsize() == 1)
    assert client.get("session:2") is None
    assert client.delete("session:1") == 1
    assert client.ttl("session:1") == -2


def test_strings(client):
    assert client.set("a", "1", nx=True) is True
    assert client.set("a", "2", nx=True) is None
    assert client.set("a", "2", get=True) == "1"
    assert client.incrby("a", 40) == 42
    assert client.incrbyfloat("f", 0.5) == 0.5
    assert client.append("a", "!") == 3
    assert client.setrange("padded", 3, "x") == 4
    assert client.getrange("padded", 0, -1) == "\0\0\0x"
    assert client.strlen("nothing") == 0
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("a")
    assert client.lcs("a", "a") == "42!"


def test_many_keys_over_all_lanes(client):
    pairs = {f"key:{number}": str(number) for number in range(500)}
    assert client.mset(pairs) is True
    assert client.mget([*pairs, "none"]) == [*pairs.values(), None]
    assert client.exists(*pairs, "none") == 500
    assert client.msetnx({"key:1": "x", "new": "y"}) is False
    assert client.get("new") is None
    assert sorted(client.scan_iter(match="key:*", count=50)) == sorted(pairs)
    assert sorted(client.keys("key:49*")) == sorted(k for k in pairs if k.startswith("key:49"))
    assert client.dbsize() == 500
    assert client.randomkey() in pairs
    assert client.unlink(*pairs) == 500
    assert client.dbsize() == 0


def test_a_deep_pipeline_answers_in_order(client):
    with client.pipeline(transaction=False) as pipeline:
        for number in range(10_000):
            pipeline.set(f"p:{number}", number)
            pipeline.get(f"p:{number}")
        replies = pipeline.execute()
    assert replies == [reply for number in range(10_000) for reply in (True, str(number))]


def test_keys_between_databases_and_names(client, server):
    client.set("a", "1")
    client.set("b", "2", ex=100)
    assert client.rename("a", "c") is True
    assert client.renamenx("c", "b") is False
    assert client.copy("b", "d") is True
    assert client.ttl("d") > 0
    assert client.move("d", 3) is True
    with redis.Redis(port=server.port, db=3, decode_responses=True) as third:
        assert third.get("d") == "2"
        third.swapdb(0, 3)
        assert third.get("c") == "1"
    assert client.get("d") == "2"
    with pytest.raises(redis.ResponseError, match="no such key"):
        client.rename("missing", "x")


def test_large_and_binary_values(server):
    with redis.Redis(port=server.port) as client:
        for size in (0, 1, 16_383, 16_384, 1_000_003, 20_000_000):
            value = bytes(range(256)) * (size // 256) + bytes(size % 256)
            assert client.set(b"\0\r\n\xff", value)
            assert client.get(b"\0\r\n\xff") == value
        assert client.memory_usage(b"\0\r\n\xff") >= 20_000_000
        client.delete(b"\0\r\n\xff")


def test_expiry_commands(client):
    client.set("k", "v")
    assert client.ttl("k") == -1
    assert client.expire("k", 100, nx=True) == 1
    assert client.expire("k", 50, gt=True) == 0
    assert client.pexpire("k", 200_000, gt=True) == 1
    at = int(time.time()) + 1000
    assert client.expireat("k", at) == 1
    assert client.expiretime("k") == at
    assert client.persist("k") == 1
    assert client.pexpireat("k", 1) == 1
    assert client.exists("k") == 0
    with pytest.raises(redis.ResponseError, match="invalid expire time in 'set' command"):
        client.set("k", "v", ex=0)


def test_settings_as_clients_ask_for_them(client):
    assert client.config_get("save") == {"save": ""}
    assert client.config_get("appendonly") == {"appendonly": "no"}
    assert client.config_set("maxmemory", "200mb") is True
    assert client.config_get("maxmem*") == {
        "maxmemory": str(200 << 20),
        "maxmemory-clients": "0",
        "maxmemory-policy": "adaptive",
    }
    assert client.config_set("maxmemory", "256mb")
    for name, value, reason in [
        ("port", "1", "can't set immutable config"),
        ("maxmemory", "much", "argument must be a memory or percent value"),
        ("appendonly", "yes", "an append-only file is not supported"),
    ]:
        with pytest.raises(redis.ResponseError) as refusal:
            client.config_set(name, value)
        expected = f"CONFIG SET failed (possibly related to argument '{name}') - {reason}"
        assert str(refusal.value).startswith(expected)
    with pytest.raises(redis.ResponseError, match="Unknown option or number of arguments"):
        client.config_set("nothing", "1")
    with pytest.raises(redis.ResponseError, match="without a config file"):
        client.config_rewrite()
    assert client.config_resetstat() is True


def test_introspection(client, server):
    assert client.ping() is True
    assert client.echo("hello") == "hello"
    info = client.info()
    assert info["tcp_port"] == server.port
    assert info["maxmemory_policy"] == "adaptive"
    assert info["mem_allocator"].startswith("jemalloc")
    assert info["allocator_allocated"] > 0
    client.client_setname("tester")
    assert client.client_getname() == "tester"
    mine = client.client_id()
    listed = {int(entry["id"]): entry for entry in client.client_list()}
    assert listed[mine]["name"] == "tester"
    assert listed[mine]["lib-name"].startswith("redis-py")
    assert client.client_info()["id"] == mine
    assert client.command_count() > 60
    assert {"get", "config|get"} <= set(client.command_list())
    # Decoded clients stumble over COMMAND in redis-py itself, so bytes here.
    with redis.Redis(port=server.port) as plain:
        commands = plain.command()
        assert commands["mset"]["step_count"] == 2
        assert commands["mset"]["last_key_pos"] == -1
    assert client.command_getkeys("MSET", "a", "1", "b", "2") == ["a", "b"]
    client.config_set("slowlog-log-slower-than", 0)
    client.get("slow")
    client.config_set("slowlog-log-slower-than", 10_000)
    assert any("slow" in str(entry["command"]) for entry in client.slowlog_get(50))
    assert client.slowlog_reset() is True
    client.set("n", 5)
    assert client.object("encoding", "n") == "int"
    with pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH', with args beginning with: 'a'"):
        client.execute_command("NOSUCH", "a")


def test_a_password_is_asked_for():
    with Server(requirepass="open sesame", protected_mode="yes") as server:
        with redis.Redis(port=server.port) as stranger:
            # A new client begins with HELLO 3, an older one with its command.
            with pytest.raises(redis.AuthenticationError, match="HELLO must be called with"):
                stranger.ping()
        with redis.Redis(port=server.port, protocol=2) as stranger:
            with pytest.raises(redis.AuthenticationError, match="Authentication required"):
                stranger.get("a")
        with redis.Redis(port=server.port, password="wrong") as stranger:
            with pytest.raises(redis.AuthenticationError):
                stranger.ping()
        for protocol in (2, 3):
            with redis.Redis(port=server.port, password="open sesame", protocol=protocol) as friend:
                assert friend.ping() is True


def test_threads_of_one_pool(server):
    pool = redis.ConnectionPool(port=server.port, max_connections=16)
    failures = []

    def work(name):
        client = redis.Redis(connection_pool=pool)
        try:
            for number in range(300):
                assert client.set(f"t:{name}:{number}", number)
                assert int(client.get(f"t:{name}:{number}")) == number
                client.incr("t:all")
        except Exception as error:  # Told below, in the test's own thread.
            failures.append(error)

    with redis.Redis(port=server.port) as client:
        client.delete("t:all")
        threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert int(client.get("t:all")) == 16 * 300
    pool.disconnect()


def test_connections_are_spread_over_the_lanes(server):
    clients = [redis.Redis(port=server.port) for _ in range(40)]
    for client in clients:
        client.ping()
    counts = [lane["connections"] for lane in lanes(clients[0])]
    for client in clients:
        client.close()
    assert sum(counts) >= 40
    assert max(counts) - min(counts) <= 4, counts


def test_memory_keeps_to_its_limit():
    with Server(maxmemory="64mb") as server, redis.Redis(port=server.port) as client:
        value = b"x" * 1000
        for batch in range(200):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(1000):
                    pipeline.set(f"m:{batch}:{number}", value)
                assert all(pipeline.execute())
        info = client.info()
        assert info["evicted_keys"] > 100_000
        assert 20_000 < client.dbsize() < 70_000
        assert info["used_memory_rss"] < 64 * 1024 * 1024 * 1.05
