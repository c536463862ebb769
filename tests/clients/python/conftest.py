import pytest
import redis
from server import Server


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(server, request):
    """redis-py in both versions of the protocol, on an empty server."""
    client = redis.Redis(port=server.port, protocol=request.param, decode_responses=True)
    client.flushall()
    yield client
    client.close()
