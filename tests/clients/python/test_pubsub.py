"""redis-py's channels, its client-side cache and its MONITOR, over a server of several lanes."""

import time

import pytest
import redis
from redis.cache import CacheConfig
from server import Server

# Only a message that was lost waits this long.
PATIENCE_SECONDS = 30


@pytest.fixture(params=[1, 2, 4], ids=["1 lane", "2 lanes", "4 lanes"])
def port(request):
    with Server(lanes=request.param) as server:
        yield server.port


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request):
    return request.param


def connect(port, protocol, **options):
    return redis.Redis(port=port, protocol=protocol, decode_responses=True, **options)


def next_message(pubsub):
    message = pubsub.get_message(timeout=PATIENCE_SECONDS)
    assert message is not None, "a message was lost"
    return message["type"], message["pattern"], message["channel"], message["data"]


def test_subscribers_get_what_is_published(port, protocol):
    client = connect(port, protocol)
    with client.pubsub() as listener:
        listener.subscribe("news", "sport")
        listener.psubscribe("n*")
        assert next_message(listener) == ("subscribe", None, "news", 1)
        assert next_message(listener) == ("subscribe", None, "sport", 2)
        assert next_message(listener) == ("psubscribe", None, "n*", 3)
        assert client.publish("news", "one") == 2
        assert client.publish("sport", "two") == 1
        assert client.publish("nothing", "three") == 1
        # One channel's messages keep their order; those of several channels may cross.
        messages = [next_message(listener) for _ in range(4)]
        assert sorted(messages, key=lambda message: (message[0], message[2])) == [
            ("message", None, "news", "one"),
            ("message", None, "sport", "two"),
            ("pmessage", "n*", "news", "one"),
            ("pmessage", "n*", "nothing", "three"),
        ]
        assert client.pubsub_numsub("news", "nobody") == [("news", 1), ("nobody", 0)]
        assert sorted(client.pubsub_channels()) == ["news", "sport"]
        assert client.pubsub_numpat() == 1
        listener.unsubscribe()
        assert {next_message(listener)[2] for _ in range(2)} == {"news", "sport"}
        assert client.publish("sport", "four") == 0


def test_a_listener_is_pinged_while_it_waits(port):
    # In RESP3 redis-py takes the answer, a plain string as of any PING, for a message.
    client = connect(port, 2)
    with client.pubsub() as listener:
        listener.subscribe("news")
        assert next_message(listener)[0] == "subscribe"
        listener.ping("still there")
        assert next_message(listener)[3] == "still there"


def test_keyspace_notices(port, protocol):
    client = connect(port, protocol)
    client.config_set("notify-keyspace-events", "KEA")
    assert client.config_get("notify-keyspace-events") == {"notify-keyspace-events": "AKE"}
    with client.pubsub() as listener:
        listener.psubscribe("__keyevent@0__:*")
        next_message(listener)
        client.set("k", "v", px=50)
        for event in ["set", "expire", "expired"]:
            _, _, channel, key = next_message(listener)
            assert (channel, key) == (f"__keyevent@0__:{event}", "k")


def test_monitor_shows_commands(port):
    client = connect(port, 2)
    with client.monitor() as monitor:
        connect(port, 2).set("k", 'a "b"\n')
        for shown in monitor.listen():
            if shown["command"].startswith("SET"):
                assert shown["command"].startswith("SET k a")
                assert shown["db"] == 0
                break


def test_a_client_with_a_cache_reads_what_others_write(port):
    cached = connect(port, 3, cache_config=CacheConfig())
    writer = connect(port, 2)
    keys = [f"key:{number}" for number in range(20)]
    for number in range(3):
        for key in keys:
            writer.set(key, number)
        for key in keys:
            # An invalidation is under way for as long as the network takes.
            end = time.monotonic() + PATIENCE_SECONDS
            while cached.get(key) != str(number):
                assert time.monotonic() < end, "a change was never heard of"
    hits = writer.info("stats")["keyspace_hits"]
    for key in keys:
        assert cached.get(key) == "2"
    assert writer.info("stats")["keyspace_hits"] == hits, "these were read from the cache"
    assert cached.get_cache().size >= len(keys)
    writer.flushall()
    end = time.monotonic() + PATIENCE_SECONDS
    while cached.get(keys[0]) is not None:
        assert time.monotonic() < end, "the flush was never heard of"
