"""What well-known libraries send, as short sessions: job queues, sessions that end, locks, rate limits."""

import json
import threading
import time
import uuid

import pytest
import redis
from server import Server


@pytest.fixture(scope="module", params=[1, 4], ids=["one lane", "four lanes"])
def port(request):
    with Server(lanes=request.param) as server:
        yield server.port


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def connect(port, request):
    clients = []

    def make(**options):
        client = redis.Redis(port=port, protocol=request.param, decode_responses=True, **options)
        clients.append(client)
        return client

    make().flushall()
    yield make
    for client in clients:
        client.close()


# Takes the first job that is due, as long as there is one.
DUE = """
local jobs = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, 1)
if jobs[1] then
    redis.call('ZREM', KEYS[1], jobs[1])
    return jobs[1]
end
return false
"""


def test_a_queue_with_jobs_for_later_as_sidekiq_keeps_it(connect):
    client, now = connect(), 1_700_000_000.5
    due = client.register_script(DUE)
    for number in range(5):
        job = json.dumps({"class": "Mail", "args": [number], "jid": uuid.uuid4().hex})
        with client.pipeline(transaction=True) as pipeline:
            pipeline.sadd("queues", "default")
            pipeline.lpush("queue:default", job)
            assert pipeline.execute()[1] == number + 1
    for number in range(3):
        client.zadd("schedule", {json.dumps({"class": "Later", "args": [number]}): now + number})
    # Two of the three are due.
    moved = 0
    while job := due(keys=["schedule"], args=[now + 1]):
        client.lpush("queue:default", job)
        moved += 1
    assert moved == 2 and client.zcard("schedule") == 1

    done, workers = [], []

    def work():
        with connect() as mine:
            while True:
                _, job = mine.brpop(["queue:critical", "queue:default"], timeout=0)
                job = json.loads(job)
                if job["class"] == "Stop":
                    return
                done.append((job["class"], job["args"][0]))
                mine.incr("stat:processed")

    for _ in range(3):
        worker = threading.Thread(target=work)
        worker.start()
        workers.append(worker)
    while client.get("stat:processed") != "7":
        time.sleep(0.001)
    for _ in workers:
        client.lpush("queue:critical", json.dumps({"class": "Stop"}))
    for worker in workers:
        worker.join()
    assert sorted(done) == [("Later", 0), ("Later", 1)] + [("Mail", number) for number in range(5)]


def test_sessions_that_tell_when_they_end_as_spring_session_keeps_them(connect):
    client = connect()
    client.config_set("notify-keyspace-events", "Egx")
    with connect() as other, other.pubsub() as listener:
        listener.psubscribe("__keyevent@*:expired", "__keyevent@*:del")
        listener.subscribe("spring:session:event:0:created:s1")
        for _ in range(3):
            assert listener.get_message(timeout=60)["type"].endswith("subscribe")
        session, shadow = "spring:session:sessions:s1", "spring:session:sessions:expires:s1"
        client.hset(session, mapping={"creationTime": 1, "maxInactiveInterval": 1800, "sessionAttr:user": "rob"})
        client.publish("spring:session:event:0:created:s1", "{}")
        assert listener.get_message(timeout=60)["data"] == "{}"
        client.sadd("spring:session:expirations:1700000060000", "expires:s1")
        client.expire("spring:session:expirations:1700000060000", 2100)
        client.append(shadow, "")
        client.pexpire(shadow, 1)
        client.expire(session, 2100)
        # The shadow goes; what it stands for can still be read.
        message = listener.get_message(timeout=60)
        assert (message["channel"], message["data"]) == ("__keyevent@0__:expired", shadow)
        assert client.hgetall(session)["sessionAttr:user"] == "rob"
        client.delete(session)
        message = listener.get_message(timeout=60)
        assert (message["channel"], message["data"]) == ("__keyevent@0__:del", session)
    client.config_set("notify-keyspace-events", "")


# Takes a job, counts the attempt, and keeps it aside until it is done or its time is over.
RESERVE = """
local job = redis.call('LPOP', KEYS[1])
if not job then return {false, false} end
local aside = cjson.decode(job)
aside['attempts'] = aside['attempts'] + 1
aside = cjson.encode(aside)
redis.call('ZADD', KEYS[2], ARGV[1], aside)
redis.call('LPOP', KEYS[3])
return {job, aside}
"""
# Brings back what is due.
MIGRATE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 100)
if #due > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #due - 1)
    redis.call('RPUSH', KEYS[2], unpack(due))
    for _ = 1, #due do redis.call('RPUSH', KEYS[3], 1) end
end
return due
"""
RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


def test_queue_and_locks_as_laravel_keeps_them(connect):
    client = connect()
    queue, later, aside, bell = "queues:default", "queues:default:delayed", "queues:default:reserved", "queues:default:notify"
    for number in range(3):
        client.rpush(queue, json.dumps({"id": number, "attempts": 0}))
        client.rpush(bell, 1)
    client.zadd(later, {json.dumps({"id": 9, "attempts": 0}): 50})
    reserve, migrate = client.register_script(RESERVE), client.register_script(MIGRATE)
    job, kept = reserve(keys=[queue, aside, bell], args=[100])
    assert json.loads(job) == {"id": 0, "attempts": 0} and json.loads(kept)["attempts"] == 1
    assert client.zrem(aside, kept) == 1
    reserve(keys=[queue, aside, bell], args=[100])
    assert len(migrate(keys=[later, queue, bell], args=[60])) == 1
    assert migrate(keys=[later, queue, bell], args=[60]) == []
    # The second was never done: it comes back, with its attempt counted.
    assert json.loads(migrate(keys=[aside, queue, bell], args=[101])[0]) == {"id": 1, "attempts": 1}
    assert [json.loads(job)["id"] for job in client.lrange(queue, 0, -1)] == [2, 9, 1]
    assert client.llen(bell) == 3
    assert client.blpop(bell, timeout=0) == (["queues:default:notify", "1"] if client.get_connection_kwargs()["protocol"] == 3 else ("queues:default:notify", "1"))

    release = client.register_script(RELEASE)
    assert client.set("lock:report", "me", nx=True, ex=60)
    assert client.set("lock:report", "you", nx=True, ex=60) is None
    assert release(keys=["lock:report"], args=["you"]) == 0
    assert release(keys=["lock:report"], args=["me"]) == 1
    # The same lock as redis-py has it.
    with client.lock("report", timeout=60) as lock:
        assert not client.lock("report", timeout=60).acquire(blocking=False)
        assert lock.reacquire() and lock.extend(5)
    assert client.exists("report") == 0


# So many in a window that slides, by a sorted set; answers what is left, or how long to wait.
WINDOW = """
local now, window, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local count = redis.call('ZCARD', KEYS[1])
if count < most then
    redis.call('ZADD', KEYS[1], now, ARGV[4])
    redis.call('PEXPIRE', KEYS[1], window)
    return {1, most - count - 1}
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {0, tostring(first[2] + window - now)}
"""
# Tokens that come back with time, in a hash.
BUCKET = """
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local now, rate, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens = math.min(most, (tonumber(kept[1]) or most) + (now - (tonumber(kept[2]) or now)) * rate)
local allowed = tokens >= 1
if allowed then tokens = tokens - 1 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', ARGV[1])
redis.call('EXPIRE', KEYS[1], 60)
return {allowed and 1 or 0, tostring(tokens)}
"""


def test_rate_limits(connect):
    client = connect()
    window, bucket = client.register_script(WINDOW), client.register_script(BUCKET)
    said = [window(keys=["w:1"], args=[1000 + 10 * i, 100, 3, f"r{i}"]) for i in range(5)]
    assert said == [[1, 2], [1, 1], [1, 0], [0, "70"], [0, "60"]]
    assert window(keys=["w:1"], args=[1105, 100, 3, "r9"]) == [1, 0]
    said = [bucket(keys=["b:1"], args=[at, 0.5, 2]) for at in (0, 0, 0, 2, 3)]
    assert said == [[1, "1"], [1, "0"], [0, "0"], [1, "0"], [0, "0.5"]]
    # So many in a fixed window: two commands in a transaction.
    with client.pipeline(transaction=True) as pipeline:
        for expected in (1, 2, 3):
            pipeline.incr("f:1").expire("f:1", 60, nx=True)
            assert pipeline.execute() == [expected, expected == 1]


def test_a_lock_over_three_servers_as_redlock_takes_it():
    with Server(lanes=1) as one, Server(lanes=2) as two, Server(lanes=1) as three:
        clients = [redis.Redis(port=server.port, decode_responses=True) for server in (one, two, three)]

        def take(value):
            got = [bool(client.set("resource", value, nx=True, px=60_000)) for client in clients]
            if sum(got) >= 2:
                return True
            free(value)
            return False

        def free(value):
            return sum(client.register_script(RELEASE)(keys=["resource"], args=[value]) for client in clients)

        assert take("a") and not take("b")
        # A minority that forgets changes nothing.
        clients[0].delete("resource")
        assert not take("b")
        assert [client.get("resource") for client in clients] == [None, "a", "a"]
        assert free("a") == 2 and take("b") and free("b") == 3
        for client in clients:
            client.close()
