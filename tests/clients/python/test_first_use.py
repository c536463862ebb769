"""The first real use, to its end: a real access trace through the server at a tenth of its footprint."""

import json
import os
import pathlib
import subprocess

import pytest
import redis
from server import ROOT, TARGET, Server

TRACES = pathlib.Path(os.environ.get("RINGLANE_TRACES", ROOT.parent / "shared" / "traces"))
REPLAY = TARGET / "test-server" / "ringlane-replay"

# A product page. With it a tenth of the footprint is 33 MB: what the server's first traffic adds to its
# own memory (some 5 MB: code, buffers of the rings), which the limit counts too, is little of that.
OBJECT_BYTES = "16384"


@pytest.mark.skipif(not TRACES.is_dir(), reason="no traces: set RINGLANE_TRACES to their folder")
@pytest.mark.skipif(not REPLAY.exists(), reason="perf/replay is not built: scripts/test build")
def test_a_trace_as_a_read_through_cache(tmp_path):
    result = tmp_path / "result.json"
    with Server(maxmemory="64mb") as server, redis.Redis(port=server.port) as client:
        done = subprocess.run(
            [
                REPLAY, TRACES / "web07.csv.zst", "--server", f"127.0.0.1:{server.port}",
                "--object-size", OBJECT_BYTES, "--maxmemory", "10%", "--json", result,
            ],
            capture_output=True,
            text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(result.read_text())["results"]
        info = client.info()
        # What the server says of itself is what the client saw.
        assert info["keyspace_hits"] == told["hits"]
        ratio = info["keyspace_hits"] / (info["keyspace_hits"] + info["keyspace_misses"])
        assert ratio == pytest.approx(told["hit_ratio"])
        # A tenth of the objects answers about half of the requests of this trace, or LRU would win.
        assert ratio > told["lru_hit_ratio"] - 0.05
        assert info["evicted_keys"] > 1000
        assert info["refused_writes"] == 0
        assert info["used_memory"] <= info["maxmemory"]
        # As the system counts it, too.
        assert info["used_memory_rss"] <= info["maxmemory"] * 1.05
