"""redis-py with every type of data, in both versions of the protocol."""

import threading

import pytest
import redis


def test_lists(client):
    assert client.rpush("l", "a", "b", "c") == 3
    assert client.lmove("l", "m", "LEFT", "RIGHT") == "a"
    assert client.lpos("l", "c") == 1
    assert client.linsert("l", "before", "c", "x") == 3
    assert client.lmpop(2, "none", "l", direction="RIGHT", count=2) == ["l", ["c", "x"]]
    assert client.lrange("l", 0, -1) == ["b"]


def test_hashes_and_fields_that_expire(client):
    assert client.hset("h", mapping={"a": 1, "b": 2, "c": 3}) == 3
    assert client.hgetall("h") == {"a": "1", "b": "2", "c": "3"}
    assert client.hexpire("h", 100, "a", "none") == [1, -2]
    assert client.httl("h", "a", "b") == [100, -1]
    assert client.hpersist("h", "a") == [1]
    assert client.hgetdel("h", "a", "none") == ["1", None]
    assert client.hsetex("h", "d", "4", ex=50) == 1
    assert client.hgetex("h", "d", persist=True) == ["4"]
    assert client.hincrbyfloat("h", "b", 0.5) == 2.5
    assert dict(client.hscan_iter("h")) == {"b": "2.5", "c": "3", "d": "4"}
    assert sorted(client.hscan_iter("h", no_values=True)) == ["b", "c", "d"]


def test_sets(client):
    client.sadd("s", *range(600))
    assert client.scard("s") == 600 and client.smismember("s", [5, 600]) == [1, 0]
    client.sadd("t", 1, 2, "x")
    assert client.sinter("s", "t") == {"1", "2"}
    assert client.sdiffstore("u", "t", "s") == 1 and client.smembers("u") == {"x"}
    assert client.sintercard(2, ["s", "t"], limit=1) == 1
    assert len(set(client.sscan_iter("s"))) == 600


def test_sorted_sets(client):
    client.zadd("z", {"a": 1, "b": 2.5, "c": float("inf")})
    pairs = client.zrange("z", 0, -1, withscores=True)
    assert [tuple(pair) for pair in pairs] == [("a", 1.0), ("b", 2.5), ("c", float("inf"))]
    assert client.zrank("z", "b") == 1 and client.zrevrank("z", "b", withscore=True) == [1, 2.5]
    assert client.zadd("z", {"a": 9}, gt=True, ch=True) == 1
    assert client.zrange("z", "(2", "+inf", byscore=True, offset=0, num=1) == ["b"]
    assert client.zmscore("z", ["a", "none"]) == [9.0, None]
    assert client.zunionstore("y", {"z": 2, "none": 1}) == 3
    assert client.zscore("y", "a") == 18.0
    assert [tuple(pair) for pair in client.zpopmin("y", 2)] == [("b", 5.0), ("a", 18.0)]
    assert client.zincrby("z", 1.25, "b") == 3.75


def test_streams_and_groups(client):
    ids = [client.xadd("x", {"n": n}) for n in range(5)]
    assert [entry for entry, _ in client.xrange("x")] == ids
    assert client.xgroup_create("x", "g", "0") and client.xlen("x") == 5
    read = client.xreadgroup("g", "alice", {"x": ">"}, count=2)
    entries = read["x"][0] if isinstance(read, dict) else read[0][1]
    assert [fields for _, fields in entries] == [{"n": "0"}, {"n": "1"}]
    assert client.xack("x", "g", ids[0]) == 1
    assert client.xpending("x", "g")["pending"] == 1
    assert client.xpending_range("x", "g", "-", "+", 9)[0]["consumer"] == "alice"
    assert [entry for entry, _ in client.xclaim("x", "g", "bob", 0, [ids[1]])] == [ids[1]]
    assert client.xautoclaim("x", "g", "carol", 0)[1][0][0] == ids[1]
    assert client.xinfo_groups("x")[0]["consumers"] == 3
    assert client.xinfo_stream("x")["length"] == 5
    assert client.xtrim("x", maxlen=1, approximate=False) == 4
    assert client.xdel("x", ids[4]) == 1


def test_bits_sketches_and_places(client):
    assert client.setbit("b", 7, 1) == 0 and client.bitcount("b") == 1
    assert client.bitfield("b").set("u8", 8, 200).get("u8", 8).execute() == [0, 200]
    client.set("a", b"\xff\x0f")
    assert client.bitop("XOR", "c", "a", "b") == 2 and client.bitpos("c", 1) == 0
    assert client.pfadd("p", *range(1000)) == 1 and abs(client.pfcount("p") - 1000) < 30
    client.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))
    assert abs(client.geodist("g", "Palermo", "Catania", unit="km") - 166.27) < 0.01
    assert client.geosearch("g", longitude=15, latitude=37, radius=100, unit="km") == ["Catania"]
    assert client.geohash("g", "Palermo") == ["sqc8b49rny0"]


def test_what_waits(client, server):
    def bring():
        with redis.Redis(port=server.port) as other:
            while not other.info("clients")["blocked_clients"]:
                pass
            other.zadd("z", {"m": 1})

    bringer = threading.Thread(target=bring)
    bringer.start()
    assert list(client.bzpopmin(["y", "z"], timeout=0)) == ["z", "m", 1.0]
    bringer.join()
    assert client.blpop("l", timeout=0.01) is None
    assert client.xread({"x": "$"}, block=5) in ([], {})
    with client.pipeline(transaction=True) as pipeline:
        pipeline.blpop("l", timeout=0)
        assert pipeline.execute() == [None]


def test_scripts_and_functions(client):
    double = client.register_script("return redis.call('INCRBY', KEYS[1], 2 * ARGV[1])")
    assert double(keys=["n"], args=[21]) == 42
    client.script_flush()
    assert double(keys=["n"], args=[4]) == 50
    code = "#!lua name=mine\nredis.register_function('twice', function(keys, args) return 2 * args[1] end)"
    assert client.function_load(code, replace=True) == "mine"
    assert client.fcall("twice", 0, 4) == 8
    with pytest.raises(redis.ResponseError, match="Function not found"):
        client.fcall("thrice", 0)
    assert client.function_delete("mine")


def test_what_compares_before_it_writes(client):
    client.set("k", "v1")
    assert client.set("k", "v2", ifeq="other") is None
    assert client.set("k", "v2", ifeq="v1") is True
    digest = client.digest("k")
    assert client.set("k", "v3", ifdeq=digest) is True
    assert client.delex("k", ifne="v3") == 0 and client.delex("k", ifeq="v3") == 1
    assert client.msetex({"a": 1, "b": 2}, ex=100) == 1 and client.ttl("b") == 100
