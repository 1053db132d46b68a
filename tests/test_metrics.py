"""/metrics: every name of the catalogue, labels from closed sets, and a sum that always adds up."""

from __future__ import annotations

import datetime
import re
import typing
from typing import Any, NamedTuple

from prometheus_client import parser
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from geoingest import config, errors, metrics, ping
from geoingest.access import issuer, provision
from geoingest.ingest import apps
from geoingest.lifecycle import jobs
from tests import conftest

CATALOGUE = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
NOW = datetime.datetime.now(datetime.UTC)


def _reasons(base: type[errors.HttpError]) -> set[str]:
    """The reason of every error of this kind."""
    own = {base.reason} if "reason" in vars(base) else set()
    return own.union(*(_reasons(one) for one in base.__subclasses__()))


REFUSALS = _reasons(errors.ServiceError)
# What each label may say, whoever asks whatever: nothing that a caller has in hand.
CLOSED: dict[tuple[str, str], set[str]] = {
    ("geoingest_pings_rejected", "reason"): set(ping.REASONS),
    ("geoingest_messages_ignored", "app"): {app.name for app in apps.APPS},
    ("geoingest_pings_corrected", "correction"): {"gps_rollover", "epoch_2001"},
    ("geoingest_pings_refused", "reason"): REFUSALS,
    ("geoingest_pings_failed", "reason"): REFUSALS,
    ("geoingest_auth_failures", "reason"): {"unauthenticated", "credentials_stale"},
    ("geoingest_issuer_fetches", "outcome"): {"ok", *typing.get_args(issuer.Reason)},
    ("geoingest_batches_flushed", "trigger"): {"writer_free", "full"},
    ("geoingest_copy_duration_seconds", "path"): {"copy", "on_conflict"},
    ("geoingest_copy_failures", "reason"): {"connection", "timeout", "transient", "other"},
    ("geoingest_pool_connections", "server"): {"primary", "replica"},
    ("geoingest_pool_connections", "state"): {"idle", "used"},
    ("geoingest_pool_limit_connections", "server"): {"primary", "replica"},
    ("geoingest_reads", "source"): {"primary", "replica"},
    ("geoingest_lookups_unrecorded", "reason"): {
        "database_unavailable",
        "not_recorded",
        "overloaded",
    },
    ("geoingest_logins", "outcome"): {
        *("ok", "wrong_credentials", "too_many_logins", "overloaded", "database_unavailable"),
    },
    ("geoingest_job_runs", "job"): set(jobs.JOBS),
    ("geoingest_job_runs", "outcome"): {"ok", "failed", "skipped"},
    ("geoingest_job_duration_seconds", "job"): set(jobs.JOBS),
    ("geoingest_job_last_success_timestamp_seconds", "job"): set(jobs.JOBS),
}
METHODS = {"GET", "HEAD", "POST", "DELETE", "other"}


class Scrape(NamedTuple):
    """One reading of /metrics."""

    families: dict[str, Metric]

    def value(self, name: str) -> float:
        """A sample summed over its labels."""
        samples = (one for family in self.families.values() for one in family.samples)
        return sum(one.value for one in samples if one.name == name)

    def labels(self) -> set[tuple[str, str, str]]:
        """Family, label and value of every sample of ours."""
        return {
            (family.name, label, value)
            for family in self.families.values()
            if family.name.startswith("geoingest_")
            for sample in family.samples
            for label, value in sample.labels.items()
            if label != "le"
        }


def parse(text: str) -> Scrape:
    """A reading from what /metrics says."""
    families = parser.text_string_to_metric_families(text)
    # When a counter was made is the client library's own addition.
    added = ("gauge", "_created")
    return Scrape({one.name: one for one in families if (one.type, one.name[-8:]) != added})


async def scrape(running: conftest.Running) -> Scrape:
    async with running.admin.get("/metrics") as answer:
        assert answer.status == 200
        return parse(await answer.text())


async def _post(running: conftest.Running, token: str, body: object) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    async with running.client.post("/v1/pings", json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


def _pings(count: int, *, minutes: int = 1, **changes: object) -> list[dict[str, object]]:
    start = NOW - datetime.timedelta(minutes=minutes)
    return [
        {
            "timestamp": (start + datetime.timedelta(seconds=one)).isoformat(),
            "latitude": 52.5,
            "longitude": 13.4,
            **changes,
        }
        for one in range(count)
    ]


async def test_every_name_of_the_catalogue_is_there(running: conftest.Running) -> None:
    """Each with its words; the process's own beside them; and nothing of ours that is not in it."""
    check_names(await scrape(running))


def check_names(scrape: Scrape) -> None:
    """The families of the catalogue, and no other of ours."""
    ours = {name: one for name, one in scrape.families.items() if name.startswith("geoingest_")}
    assert set(ours) == {one._name for one in CATALOGUE}
    assert len(ours) >= 30
    assert all(family.documentation.endswith(".") for family in ours.values())
    assert "process_resident_memory_bytes" in scrape.families
    for one in CATALOGUE:
        assert re.fullmatch(r"geoingest_[a-z]+(_[a-z]+)*", one._name)


async def test_zero_is_visible_and_limits_are_told(
    running: conftest.Running, database: conftest.Database
) -> None:
    """Every reason has its sample before it first happens; what can fill up comes with its limit."""
    await conftest.until(
        lambda: running.service.queue.open_lanes == database.settings().writers_each
    )

    check_zeros(await scrape(running), database.settings(), workers=1)


def check_zeros(scrape: Scrape, settings: config.Config, *, workers: int) -> None:
    """Samples for what has not happened, and the limits of all workers."""
    labels = scrape.labels()
    for family in (
        "geoingest_pings_rejected",
        "geoingest_auth_failures",
        "geoingest_copy_failures",
        "geoingest_lookups_unrecorded",
    ):
        assert {value for name, _, value in labels if name == family} == CLOSED[family, "reason"]
    assert scrape.value("geoingest_queue_limit_pings") == workers * settings.max_queue_pings
    assert scrape.value("geoingest_writer_connections") == workers * settings.writers_each
    assert scrape.value("geoingest_pool_limit_connections") > 0
    edges = {
        sample.labels["le"]
        for sample in scrape.families["geoingest_http_request_duration_seconds"].samples
        if "le" in sample.labels
    }
    assert "0.05" in edges


async def test_labels_stay_in_closed_sets_whatever_is_asked(
    running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """Odd paths, methods, students and tokens make no new series."""
    await running.service.credentials.refresh()
    odd = [
        "/",
        "/v1/pings/x",
        "/v1/students/777/location",
        "/v1/students/x/track",
        "/%00",
        "/v1/\u00e9",
    ]
    for path in odd:
        for method in ("GET", "POST", "DELETE", "HEAD", "PURGE", "OPTIONS"):
            async with running.client.request(method, path) as answer:
                await answer.read()
    for token in ("guess-1", school[0].device_token):
        await _post(running, token, [{}, 7, *_pings(1), *_pings(1, latitude=91)])
    paths = {
        route.resource.canonical
        for client in (running.client, running.admin)
        for route in client.app.router.routes()
        if route.resource is not None
    }

    check_labels(await scrape(running), paths)


def check_labels(scrape: Scrape, paths: set[str]) -> None:
    """No label, and no value of one, but those of the closed sets."""
    allowed = {
        **CLOSED,
        ("geoingest_build_info", "version"): None,
        ("geoingest_build_info", "python"): None,
    }
    for name in ("geoingest_http_requests", "geoingest_http_request_duration_seconds"):
        allowed[name, "method"] = METHODS
        allowed[name, "route"] = paths | {"unmatched"}
        allowed[name, "code"] = {str(code) for code in range(200, 600)}
    for name, label, value in scrape.labels():
        values = allowed[name, label]
        assert values is None or value in values, (name, label, value)


async def test_every_received_ping_is_counted_in_one_place(
    database: conftest.Database, start: conftest.Start, school: list[provision.Enrolled]
) -> None:
    """received = stored + duplicate + rejected + refused + failed + waiting, on the scraped text."""
    running = await start(database.settings(max_queue_pings=50))
    await running.service.credentials.refresh()
    token = school[0].device_token
    before = await scrape(running)

    statuses = [await _post(running, token, _pings(20))]
    statuses += [await _post(running, token, [*_pings(20), *_pings(5, latitude=91), 7])]
    statuses += [await _post(running, token, _pings(51))]
    statuses += [await _post(running, token, {}), await _post(running, "guess", _pings(3))]
    database.query("ALTER TABLE geolocation_data RENAME TO away")
    statuses += [await _post(running, token, _pings(4, minutes=5))]
    database.query("ALTER TABLE away RENAME TO geolocation_data")
    await conftest.until(lambda: bool(running.service.queue.open_lanes))
    statuses += [await _post(running, token, _pings(4, minutes=5))]

    after = await scrape(running)
    counts: dict[str, Any] = {
        name: after.value(f"geoingest_pings_{name}_total")
        - before.value(f"geoingest_pings_{name}_total")
        for name in ("received", "stored", "duplicate", "rejected", "refused", "failed")
    }
    assert statuses == [200, 200, 503, 200, 401, 503, 200]
    assert counts == {
        "received": 106,
        "stored": 24,
        "duplicate": 20,
        "rejected": 7,
        "refused": 51,
        "failed": 4,
    }
    assert counts.pop("received") == sum(counts.values())
    assert after.value("geoingest_queue_pings") == 0


async def test_reads_tell_their_source_and_the_replica_its_lag(
    running: conftest.Running, school: list[provision.Enrolled]
) -> None:
    """A read counts once under its source; a replica in use is seen, with its lag."""
    await conftest.until(lambda: running.service.replica.in_use, seconds=20)
    before = await scrape(running)
    headers = {"Authorization": f"Bearer {school[0].viewer_token}"}
    path = f"/v1/students/{school[0].student_id}/track"
    async with running.client.get(path, headers=headers) as answer:
        assert answer.status == 200
    after = await scrape(running)

    assert after.value("geoingest_reads_total") - before.value("geoingest_reads_total") == 1
    assert (
        after.value("geoingest_track_points_count") - before.value("geoingest_track_points_count")
        == 1
    )
    assert 0 <= after.value("geoingest_replica_lag_seconds") < 60
