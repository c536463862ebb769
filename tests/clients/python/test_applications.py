"""Applications and frameworks, unmodified, with Ringlane in the place of Redis."""

import asyncio
import os
import subprocess
import sys

import pytest
from server import PATIENCE_SECONDS

CELERY_APPLICATION = """
import celery
application = celery.Celery("work", broker="{url}/0", backend="{url}/1")
application.conf.broker_connection_retry_on_startup = True

@application.task
def add(a, b):
    return a + b

@application.task(bind=True, max_retries=3)
def stubborn(self, times):
    if self.request.retries < times:
        raise self.retry(countdown=0)
    return self.request.retries

@application.task
def total(numbers):
    return sum(numbers)
"""


@pytest.fixture
def url(server):
    return f"redis://127.0.0.1:{server.port}"


def test_a_celery_worker_with_its_broker_and_results(url, tmp_path):
    module = tmp_path / "ringlane_celery_work.py"
    module.write_text(CELERY_APPLICATION.format(url=url))
    sys.path.insert(0, str(tmp_path))
    from ringlane_celery_work import add, application, stubborn, total

    command = [sys.executable, "-m", "celery", "-A", "ringlane_celery_work:application", "worker"]
    command += ["--pool", "solo", "--loglevel", "warning", "--without-gossip", "--without-mingle"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with open(tmp_path / "worker.log", "w") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        import celery

        assert add.delay(2, 3).get(timeout=PATIENCE_SECONDS) == 5
        results = celery.group(add.s(i, i) for i in range(20))().get(timeout=PATIENCE_SECONDS)
        assert results == [2 * i for i in range(20)]
        chord = celery.chord((add.s(i, 1) for i in range(5)), total.s())
        assert chord().get(timeout=PATIENCE_SECONDS) == 15
        assert stubborn.delay(2).get(timeout=PATIENCE_SECONDS) == 2
    finally:
        worker.terminate()
        worker.wait(PATIENCE_SECONDS)
        application.close()
        sys.path.remove(str(tmp_path))


def test_django_with_its_own_backend_and_with_django_redis(url):
    from django.conf import settings

    settings.configure(
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url},
            "other": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"{url}/2"},
        },
    )
    from django.core.cache import caches

    for name in ["default", "other"]:
        cache = caches[name]
        cache.clear()
        cache.set("user:1", {"name": "Ada", "visits": [1, 2]}, timeout=60)
        assert cache.get("user:1") == {"name": "Ada", "visits": [1, 2]}
        assert cache.add("user:1", "another") is False
        cache.set_many({"a": 1, "b": 2})
        assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
        assert cache.incr("a", 5) == 6
        assert cache.touch("a", 10)
        assert cache.get_or_set("d", lambda: "made") == "made"
        cache.delete_many(["a", "b"])
        assert cache.get("a") is None
    other = caches["other"]
    assert 0 < other.ttl("user:1") <= 60
    for i in range(50):
        other.set(f"page:{i}", i)
    assert other.delete_pattern("page:*") == 50
    with other.lock("only-one", timeout=5):
        assert not other.lock("only-one", timeout=5, blocking=False).acquire(blocking=False)


def test_flask_caching(url):
    import flask
    import flask_caching

    application = flask.Flask("pages")
    cache = flask_caching.Cache(
        application, config={"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": f"{url}/3"}
    )
    calls = []

    @application.route("/page")
    @cache.cached(timeout=60)
    def page():
        calls.append("page")
        return "text"

    @cache.memoize(timeout=60)
    def square(number):
        calls.append(number)
        return number * number

    client = application.test_client()
    assert [client.get("/page").data for _ in range(3)] == [b"text"] * 3
    with application.app_context():
        assert [square(3), square(3), square(4)] == [9, 9, 16]
        cache.delete_memoized(square)
        assert square(3) == 9
        cache.clear()
    assert calls == ["page", 3, 4, 3]


def test_coredis(server):
    import coredis

    async def session():
        client = coredis.Redis("127.0.0.1", server.port, decode_responses=True)
        async with client:
            await client.flushall()
            await client.hset("h", {"a": "1", "b": "2"})
            assert await client.hgetall("h") == {"a": "1", "b": "2"}
            await client.zadd("z", {"x": 1.5, "y": 2.5})
            assert await client.zrange("z", 0, -1) == ("x", "y")
            await client.rpush("l", ["1", "2", "3"])
            assert await client.lrange("l", 0, -1) == ["1", "2", "3"]
            identifier = await client.xadd("s", {"field": "value"})
            assert (await client.xrange("s"))[0].identifier == identifier
            async with client.pipeline(transaction=True) as pipeline:
                first = pipeline.incr("n")
                second = pipeline.incr("n")
            assert [await first, await second] == [1, 2]
            await client.sadd("e", ["1", "2"])
            assert await client.smembers("e") == {"1", "2"}
            assert await client.eval("return {KEYS[1], ARGV[1]}", keys=["k"], args=["v"]) == ["k", "v"]
            async with coredis.Redis("127.0.0.1", server.port, decode_responses=True) as other:

                async def first():
                    return await other.blpop(["none", "queue"], timeout=0)

                waiting = asyncio.create_task(first())
                await client.rpush("queue", ["element"])
                assert list(await waiting) == ["queue", "element"]
            async with client.pubsub(channels=["news"]) as listener:
                while (await client.pubsub_numsub("news"))["news"] == 0:
                    pass
                assert await client.publish("news", "hello") == 1
                async for message in listener:
                    if message["type"] == "message":
                        assert message["data"] == "hello"
                        break

    asyncio.run(session())
