"""Cluster clients find every lane by themselves and reach the owning core without a detour."""

import pytest
import redis
from redis.cluster import ClusterNode, RedisCluster
from server import Server, lanes


@pytest.fixture(scope="module")
def server():
    with Server(lanes=4) as server:
        yield server


def detours(server):
    """MOVED replies and requests that travelled between lanes, so far."""
    with redis.Redis(port=server.port) as client:
        moved = client.info("stats")["moved_replies"]
        return moved, sum(lane["requests_sent"] for lane in lanes(client))


@pytest.mark.parametrize("protocol", [2, 3])
def test_every_key_goes_straight_to_its_lane(server, protocol):
    before = detours(server)
    cluster = RedisCluster(
        startup_nodes=[ClusterNode("127.0.0.1", server.port)], protocol=protocol, decode_responses=True
    )
    ports = {node.port for node in cluster.get_primaries()}
    assert ports == set(server.lane_ports)
    for number in range(1000):
        cluster.set(f"c:{number}", number)
    assert all(cluster.get(f"c:{number}") == str(number) for number in range(1000))
    assert cluster.mget("{t}a", "{t}b") == [None, None]
    assert detours(server) == before
    # redis-py asks one node for DBSIZE unless it is told otherwise.
    assert cluster.dbsize(target_nodes=RedisCluster.PRIMARIES) == 1000
    assert len(set(cluster.scan_iter(count=100))) == 1000
    assert set(cluster.flushall().values()) == {True}
    assert cluster.dbsize(target_nodes=RedisCluster.PRIMARIES) == 0
    cluster.close()


def test_a_pipeline_of_a_cluster_client(server):
    before = detours(server)
    with RedisCluster(host="127.0.0.1", port=server.port) as cluster:
        pipeline = cluster.pipeline()
        for number in range(500):
            pipeline.set(f"cp:{number}", number)
        assert all(pipeline.execute())
    assert detours(server) == before


def test_wrong_doors_say_where_to_go(server):
    with redis.Redis(port=server.lane_ports[0]) as lane:
        # CLUSTER KEYSLOT foo is 12182: with four lanes the third one's.
        with pytest.raises(redis.ResponseError, match=f"MOVED 12182 127.0.0.1:{server.lane_ports[2]}|12182"):
            lane.execute_command("GET", "foo")
        with pytest.raises(redis.ResponseError, match="Keys in request don't hash to the same slot"):
            lane.execute_command("MGET", "a", "b")
    with redis.Redis(port=server.port) as front:
        assert front.mget("a", "b", "foo") == [None, None, None]


@pytest.mark.parametrize("advertise", ["node", "off"])
def test_what_is_advertised_is_a_choice(server, advertise):
    with redis.Redis(port=server.port, decode_responses=True) as client:
        client.config_set("advertise", advertise)
        try:
            if advertise == "node":
                with RedisCluster(host="127.0.0.1", port=server.port) as cluster:
                    assert [node.port for node in cluster.get_primaries()] == [server.port]
                    cluster.set("x", "y")
                    assert cluster.get("x") == b"y"
            else:
                assert client.info("cluster")["cluster_enabled"] == 0
                with pytest.raises(redis.ResponseError, match="cluster support disabled"):
                    client.execute_command("CLUSTER SLOTS")
        finally:
            client.config_set("advertise", "lanes")
