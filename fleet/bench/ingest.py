"""Ingest measured against the broker's own limit, in turn, on the same servers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fleet.bench.fleets import add_kits, temporary_database
from fleet.embedded import broker
from fleet.embedded.ports import free_port
from fleet.embedded.process import wait_for
from fleet.errors import UnavailableError

KITS = 20_000
BACKLOG = 20_000
"""Published and not yet consumed, at most."""
WARM_UP_S = 3.0
POLL_S = 0.1
INGEST_COMMAND = (sys.executable, "-m", "fleet", "ingest")
COMMITTED = re.compile(rb'^fleet_messages_committed_total\{kind="heartbeat"\} ([0-9.e+]+)$', re.MULTILINE)
LAG_BUCKET = re.compile(rb'^fleet_commit_lag_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Servers:
    """The broker and database of one bench run."""

    mqtt_url: str
    dsn: str


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The figures of `fleet bench ingest`; rates in messages per second, medians of the rounds."""

    null_consumer_msgs_s: float
    ingest_msgs_s: float
    ratio: float
    ratio_min: float
    ratio_max: float
    plain_msgs_s: float
    half_load_msgs_s: float
    p99_commit_lag_s: float
    max_rss_bytes: int
    rss_growth_bytes: int
    kits: int
    rounds: int


def measure(seconds: float = 10.0, rounds: int = 3) -> IngestResult:
    """Run (a) null consumer and (b) ingest in turn, then (c) and ingest at half load."""
    with servers() as running:
        pairs: list[tuple[float, float]] = []
        memory: list[int] = []
        for number in range(rounds):
            null = _rate(running, _null(running), f"null-{number}", seconds)
            with _ingest(running) as (process, port):
                stored = _drive(running, port, f"ingest-{number}", seconds)
                memory += [_rss(process.pid), _peak_rss(process.pid)]
            pairs.append((null, stored))
        plain = _rate(running, _plain(running), "plain", min(seconds, 5.0))
        ingest = median(stored for _, stored in pairs)
        with _ingest(running) as (process, port):
            warm: list[bytes] = []
            half = _drive(running, port, "half", seconds, rate=ingest / 2, warmed=lambda: warm.append(_metrics(port)))
            lag = p99(warm[0], _metrics(port))
            memory.append(_peak_rss(process.pid))
    ratios = [stored / null for null, stored in pairs]
    return IngestResult(
        null_consumer_msgs_s=round(median(null for null, _ in pairs)),
        ingest_msgs_s=round(ingest),
        ratio=round(median(ratios), 3),
        ratio_min=round(min(ratios), 3),
        ratio_max=round(max(ratios), 3),
        plain_msgs_s=round(plain),
        half_load_msgs_s=round(half),
        p99_commit_lag_s=round(lag, 4),
        max_rss_bytes=max(memory),
        rss_growth_bytes=max(memory) - memory[0],
        kits=KITS,
        rounds=rounds,
    )


@contextmanager
def servers() -> Iterator[Servers]:
    """A durable PostgreSQL and a Mosquitto with the lossless settings, with the kits in the books."""
    with (
        temporary_database() as (dsn, folder),
        broker.start_temporary(folder / "mqtt", broker.BrokerKind.MOSQUITTO) as urls,
    ):
        add_kits(dsn, KITS)
        yield Servers(urls.mqtt5_url, dsn)


def _null(running: Servers) -> list[str]:
    return ["fleet.bench.consumers", "null", running.mqtt_url]


def _plain(running: Servers) -> list[str]:
    return ["fleet.bench.consumers", "insert", running.mqtt_url]


def _rate(running: Servers, arguments: Sequence[str], boot: str, seconds: float) -> float:
    """Messages per second through one of the consumers we compare with."""
    port = free_port()
    tail = [running.dsn] if "insert" in arguments else []
    with subprocess.Popen(
        [sys.executable, "-m", *arguments, str(port), *tail], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            return _drive(running, port, boot, seconds)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def _ingest(running: Servers) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The real thing: `fleet ingest` as a process."""
    port = free_port()
    names = {name: text for name, text in os.environ.items() if not name.startswith("FLEET_")}
    settings = {
        "FLEET_DATABASE_URL": running.dsn,
        "FLEET_MQTT_URL": running.mqtt_url,
        "FLEET_METRICS_PORT": str(port),
        "FLEET_LOG_LEVEL": "warning",
    }
    process = subprocess.Popen(INGEST_COMMAND, env=names | settings, start_new_session=True)
    try:
        if not wait_for(lambda: b"fleet_listening 1.0" in _metrics(port), 20, 0.1):
            raise UnavailableError("ingest did not start listening within 20 s")
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _drive(
    running: Servers,
    port: int,
    boot: str,
    seconds: float,
    *,
    rate: float = 0,
    warmed: Callable[[], object] = lambda: None,
) -> float:
    """Publish under a bounded backlog and return the consumer's rate after the warm-up, whose end `warmed` is told."""
    publisher = subprocess.Popen(
        [sys.executable, "-m", "fleet.bench.publisher", running.mqtt_url, str(KITS), boot, str(rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert publisher.stdin is not None
    base = _committed(port)
    samples: list[tuple[float, float]] = []
    started = time.monotonic()
    try:
        while time.monotonic() - started < WARM_UP_S + seconds:
            done = _committed(port) - base
            publisher.stdin.write(f"{int(done) + BACKLOG}\n".encode())
            publisher.stdin.flush()
            if time.monotonic() - started >= WARM_UP_S:
                if not samples:
                    warmed()
                samples.append((time.monotonic(), done))
            time.sleep(POLL_S)
        publisher.stdin.close()
        publisher.wait(10)
    finally:
        publisher.kill()
    (first_at, first), (last_at, last) = samples[0], samples[-1]
    return (last - first) / (last_at - first_at)


def p99(before: bytes, after: bytes) -> float:
    """The 99th percentile of the commit lag between two expositions, interpolated as Prometheus does."""
    earlier = {le: float(count) for le, count in LAG_BUCKET.findall(before)}
    buckets = [(float(le), float(count) - earlier.get(le, 0)) for le, count in LAG_BUCKET.findall(after)]
    wanted = 0.99 * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / max(count - below, 1)
        low, below = bound, count
    return low


def _committed(port: int) -> float:
    found = COMMITTED.search(_metrics(port))
    return float(found[1]) if found else 0.0


def _metrics(port: int) -> bytes:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def _rss(pid: int) -> int:
    return _status(pid, "VmRSS")


def _peak_rss(pid: int) -> int:
    return _status(pid, "VmHWM")


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
