"""Every metric of the service: names, labels and buckets are the catalogue.

One process counts in memory. A worker counts in files that its supervisor adds up; how the gauges of
several are one is their `multiprocess_mode`.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, values

import geoingest

# Set by the supervisor of a worker, beside the client's own variable for the folder of the files.
SLOT_VARIABLE = "_GEOINGEST_SLOT"
FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
SLOT = os.environ.get(SLOT_VARIABLE) if FOLDER_VARIABLE in os.environ else None
_unwritten: set[Any] = set()
if SLOT is not None:
    # By slot, not by pid: whoever follows a dead worker counts on in its files, which stay few.
    _InFile: Any = values.MultiProcessValue(lambda: SLOT)  # type: ignore[no-untyped-call]  # not typed

    class _Counted(_InFile):  # type: ignore[misc]  # the client's own class, made by its function
        """Counts in memory until the next sample: writing each time cost as much as the counting."""

        def inc(self, amount: float) -> None:
            self._value += amount
            _unwritten.add(self)

        def write(self) -> None:
            super().inc(0)

    values.ValueClass = _Counted

# One edge exactly on each promise (0.05 s), so that the share below it needs no interpolation.
_PERSON = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_INSIDE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_COUNT = (1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000)
_AGE = (1, 5, 15, 60, 300, 900, 3600, 21600, 86400, 259200, 604800)

http_requests = Counter("geoingest_http_requests", "Responses sent.", ["method", "route", "code"])
http_request_duration = Histogram(
    "geoingest_http_request_duration_seconds",
    "From the headers to the finished answer.",
    ["method", "route"],
    buckets=_PERSON,
)
http_requests_in_flight = Gauge(
    "geoingest_http_requests_in_flight",
    "Requests being answered now.",
    multiprocess_mode="livesum",
)
auth_failures = Counter("geoingest_auth_failures", "Callers turned away.", ["reason"])
issuer_fetches = Counter(
    "geoingest_issuer_fetches",
    "Times the platform's issuer was asked for its keys: ok, or why it did not tell.",
    ["outcome"],
)

pings_received = Counter("geoingest_pings_received", "Pings decoded from an authenticated request.")
pings_rejected = Counter("geoingest_pings_rejected", "Pings that can never be valid.", ["reason"])
messages_ignored = Counter(
    "geoingest_messages_ignored", "Messages of apps that hold no position.", ["app"]
)
pings_corrected = Counter(
    "geoingest_pings_corrected",
    "Pings of apps whose timestamp had a known fault and was put right.",
    ["correction"],
)
pings_ignored_fields = Counter(
    "geoingest_ping_fields_ignored", "Optional fields stored as NULL because they were nonsense."
)
pings_refused = Counter(
    "geoingest_pings_refused", "Pings not taken now; the device keeps them.", ["reason"]
)
pings_stored = Counter("geoingest_pings_stored", "New rows committed.")
pings_duplicate = Counter("geoingest_pings_duplicate", "Pings whose row was there already.")
pings_failed = Counter(
    "geoingest_pings_failed", "Pings whose batch was not confirmed; answered 503.", ["reason"]
)
ping_age = Histogram(
    "geoingest_ping_age_seconds",
    "Received minus device clock, observed per batch for its oldest ping.",
    buckets=_AGE,
)
queue_pings = Gauge(
    "geoingest_queue_pings", "Pings in memory, not yet committed.", multiprocess_mode="livesum"
)
queue_limit_pings = Gauge(
    "geoingest_queue_limit_pings",
    "The configured limit of the queue.",
    multiprocess_mode="livesum",
)
queue_wait = Histogram(
    "geoingest_queue_wait_seconds",
    "From the oldest request of a batch until its write begins.",
    buckets=_INSIDE,
)
batches_flushed = Counter(
    "geoingest_batches_flushed",
    "Batches that left the queue: the writer was free, or the batch was full.",
    ["trigger"],
)
batch_pings = Histogram("geoingest_batch_pings", "Pings per batch.", buckets=_COUNT)
copy_duration = Histogram(
    "geoingest_copy_duration_seconds",
    "From BEGIN to COMMIT of one batch, success only.",
    ["path"],
    buckets=_INSIDE,
)
copy_failures = Counter("geoingest_copy_failures", "Batches that did not commit.", ["reason"])
copy_last_success = Gauge(
    "geoingest_copy_last_success_timestamp_seconds",
    "When a batch last committed.",
    multiprocess_mode="max",
)

pool_connections = Gauge(
    "geoingest_pool_connections",
    "Read connections.",
    ["server", "state"],
    multiprocess_mode="livesum",
)
pool_limit_connections = Gauge(
    "geoingest_pool_limit_connections",
    "The most read connections.",
    ["server"],
    multiprocess_mode="livesum",
)
writer_connections = Gauge(
    "geoingest_writer_connections",
    "Writers connected to the primary.",
    multiprocess_mode="livesum",
)
replica_lag = Gauge(
    "geoingest_replica_lag_seconds",
    "Age of the oldest position of the primary that the replica has not replayed.",
    multiprocess_mode="livemax",
)
replica_in_use = Gauge(
    "geoingest_replica_in_use",
    "1 while reads go to the replica, 0 while the primary answers.",
    multiprocess_mode="livemin",
)
reads = Counter("geoingest_reads", "Read queries answered.", ["source"])
track_query_duration = Histogram(
    "geoingest_track_query_duration_seconds", "One read query, rows fetched.", buckets=_PERSON
)
track_points = Histogram("geoingest_track_points", "Points returned by one track.", buckets=_COUNT)
lookups_recorded = Counter(
    "geoingest_lookups_recorded",
    "Look-ups put on record, before they were answered: one a student.",
)
lookups_unrecorded = Counter(
    "geoingest_lookups_unrecorded",
    "Look-ups that could not be put on record, or not certainly; answered 503.",
    ["reason"],
)

logins = Counter("geoingest_logins", "Tries to log in that were answered.", ["outcome"])
login_queue = Gauge(
    "geoingest_login_queue_seconds",
    "How long the next password would wait for a thread.",
    multiprocess_mode="livemax",
)
login_queue_limit = Gauge(
    "geoingest_login_queue_limit_seconds",
    "Nobody is taken who would wait for longer.",
    multiprocess_mode="livemax",
)
password_duration = Histogram(
    "geoingest_password_duration_seconds",
    "One hash of a password, in its thread.",
    buckets=_INSIDE,
)

job_runs = Counter("geoingest_job_runs", "Runs of the periodic jobs.", ["job", "outcome"])
job_duration = Gauge(
    "geoingest_job_duration_seconds",
    "Length of the last run.",
    ["job"],
    multiprocess_mode="mostrecent",
)
job_last_success = Gauge(
    "geoingest_job_last_success_timestamp_seconds",
    "When a run last succeeded.",
    ["job"],
    multiprocess_mode="max",
)
rollup_watermark = Gauge(
    "geoingest_rollup_watermark_timestamp_seconds",
    "Up to when every hour is rolled up.",
    multiprocess_mode="livemostrecent",
)
retention_sealed = Gauge(
    "geoingest_retention_sealed_timestamp_seconds",
    "Up to when rollups are final; it stays behind its time when they are not what the pings come to.",
    multiprocess_mode="livemostrecent",
)
rollup_rows_written = Counter(
    "geoingest_rollup_rows_written", "Student-hours and student-days written or rewritten."
)
partitions_ahead = Gauge(
    "geoingest_partitions_ahead",
    "Months that exist after the current one.",
    # All look at the same database: who has not looked yet does not say that there are none.
    multiprocess_mode="livemostrecent",
)
partitions_created = Counter("geoingest_partitions_created", "Months made.")
partitions_dropped = Counter(
    "geoingest_partitions_dropped", "Months dropped, all of their pings past their time."
)

build_info = Gauge(
    "geoingest_build_info", "Always 1.", ["version", "python"], multiprocess_mode="livemax"
)
asyncio_tasks = Gauge(
    "geoingest_asyncio_tasks", "Asyncio tasks alive.", multiprocess_mode="livesum"
)
build_info.labels(geoingest.__version__, platform.python_version()).set(1)

_watched: dict[Gauge, Callable[[], float]] = {}


def watch(gauge: Gauge, read: Callable[[], float]) -> None:
    """Lets a gauge read its value at each scrape instead of being set on each change."""
    gauge.set_function(read)
    _watched[gauge] = read


def sample() -> None:
    """Writes what is watched where other processes see it: nobody scrapes a worker."""
    for gauge, read in _watched.items():
        gauge.set(read())
    while _unwritten:
        _unwritten.pop().write()


def now() -> float:
    """Unix seconds, for timestamps in gauges."""
    return time.time()


__all__ = ["REGISTRY"]
