"""What Langfuse sends by dd-trace, through the real exporter with the rendered mapping."""

import os
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.monitoring.exporters import CONFIG, MAPPING
from sandbox.toolchain import STATSD_EXPORTER, ensure_tool
from tests.servers import free_port, running
from tests.waiting import eventually

pytestmark = pytest.mark.long  # builds the exporter

LINES = (
    # As DogStatsDClient writes them (packages/dd-trace/src/dogstatsd.js), with the tags that Langfuse adds.
    "langfuse.queue.ingestion.depth:7|g|#service:langfuse-worker,type:waiting,unit:records|c:ci-0123456789abcdef",
    "langfuse.queue.otel_ingestion.depth:3|g|#type:failed,unit:records,shard:all",
    "langfuse.queue.ingestion.rate:1|c|#type:completed",
    "langfuse.queue.ingestion.rate:2|c|#type:completed",
    "langfuse.queue.ingestion.time_distribution:1500|d|#type:wait,unit:milliseconds",
    "langfuse.queue.ingestion.dlq_oldest_age:90000|g|#unit:milliseconds",
    "langfuse.ingestion.event:5|c|#source:otel",
    "runtime.node.heap.used_heap_size:1|g|#service:langfuse-worker",
)


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Port of statsd and port of the metrics."""
    statsd, web = free_port(), free_port()
    command: list[str | Path] = [
        ensure_tool(STATSD_EXPORTER),
        f"--statsd.listen-udp=127.0.0.1:{statsd}",
        "--statsd.listen-tcp=",
        f"--statsd.mapping-config={CONFIG / MAPPING}",
        f"--web.listen-address=127.0.0.1:{web}",
    ]

    def ready() -> bool:
        try:
            return bool(read(web, "/-/ready"))
        except OSError:
            return False

    with running(command, os.environ, ready, log=tmp_path / "log"):
        yield statsd, web


def read(port: int, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        text: str = answer.read().decode()
        return text


def test_metrics_of_queues_have_the_names_that_alerts_read(exporter: tuple[int, int]) -> None:
    statsd, web = exporter
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto("\n".join(LINES).encode(), ("127.0.0.1", statsd))
    eventually(lambda: "langfuse_ingestion_event" in read(web))
    found = [line for line in read(web).splitlines() if not line.startswith("#")]

    def value(metric: str, *labels: str) -> float:
        (line,) = [one for one in found if one.startswith(metric + "{") and all(label in one for label in labels)]
        return float(line.rpartition(" ")[2])

    assert value("langfuse_queue_depth", 'queue="ingestion"', 'type="waiting"') == 7
    assert value("langfuse_queue_depth", 'queue="otel_ingestion"', 'type="failed"', 'shard="all"') == 3
    assert value("langfuse_queue_jobs_total", 'queue="ingestion"', 'type="completed"') == 3
    assert value("langfuse_queue_time_milliseconds_bucket", 'le="1000"', 'type="wait"') == 0
    assert value("langfuse_queue_time_milliseconds_bucket", 'le="5000"', 'type="wait"') == 1
    assert value("langfuse_queue_failed_oldest_age_milliseconds", 'queue="ingestion"') == 90_000
    assert not [line for line in found if line.startswith("runtime_node")]
