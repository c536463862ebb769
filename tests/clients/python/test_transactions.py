"""redis-py's transactions, unmodified, over keys of all lanes."""

import threading

import pytest
import redis
from server import Server


@pytest.fixture(params=[1, 2, 4], scope="module")
def server(request):
    """In place of the usual one: the same with one lane, two and four."""
    with Server(lanes=request.param) as server:
        yield server


def test_a_pipeline_is_a_transaction(client):
    with client.pipeline(transaction=True) as pipeline:
        pipeline.set("order:1", "paid").incr("orders").mset({"a": 1, "b": 2, "c": 3})
        pipeline.mget("a", "b", "c", "order:1").delete("a", "c").dbsize()
        assert pipeline.execute() == [True, 1, True, ["1", "2", "3", "paid"], 2, 3]


def test_errors_are_raised_with_their_command(client):
    client.set("text", "no number")
    with client.pipeline() as pipeline:
        pipeline.set("before", 1).incr("text").set("after", 1)
        with pytest.raises(redis.ResponseError, match="not an integer"):
            pipeline.execute()
    # What could run has run.
    assert client.mget("before", "after") == ["1", "1"]
    with client.pipeline() as pipeline:
        pipeline.set("before", 2).execute_command("NOSUCH")
        with pytest.raises(redis.ResponseError, match="unknown command"):
            pipeline.execute()
    assert client.get("before") == "1"


def test_a_watched_key_that_changes_raises(client):
    with client.pipeline() as pipeline:
        pipeline.watch("stock", "reserved")
        assert pipeline.get("stock") is None
        client.set("reserved", 1)
        pipeline.multi()
        pipeline.set("stock", 5)
        with pytest.raises(redis.WatchError):
            pipeline.execute()
        assert client.get("stock") is None
        pipeline.watch("stock")
        pipeline.unwatch()
        client.set("stock", 1)
        pipeline.multi()
        pipeline.incr("stock")
        assert pipeline.execute() == [2]


def test_optimistic_transfers_lose_nothing(server, client):
    accounts = [f"account:{number}" for number in range(6)]
    client.mset(dict.fromkeys(accounts, 100))

    def transfer_some(seed):
        own = redis.Redis(port=server.port, decode_responses=True)
        for step in range(30):
            source = accounts[(seed + step) % 6]
            target = accounts[(seed * 5 + step * 3 + 1) % 6]
            if source == target:
                continue

            def move(pipeline, source=source, target=target):
                left, right = int(pipeline.get(source)), int(pipeline.get(target))
                pipeline.multi()
                pipeline.set(source, left - 7)
                pipeline.set(target, right + 7)

            own.transaction(move, source, target)
        own.close()

    threads = [threading.Thread(target=transfer_some, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(map(int, client.mget(accounts))) == 600
    assert client.info("clients")["watching_clients"] == 0
    assert client.info("clients")["total_watched_keys"] == 0


def test_a_long_transaction(client):
    with client.pipeline() as pipeline:
        for number in range(20_000):
            pipeline.set(f"key:{number}", number)
        assert pipeline.execute() == [True] * 20_000
    assert client.dbsize() == 20_000
