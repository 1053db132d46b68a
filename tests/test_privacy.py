"""Canaries: no coordinate, token or number of a child comes out where it has no business."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Mapping
from typing import Any

import aiohttp
import psycopg
import pytest

from geoingest import config
from geoingest.access import passphrases, provision, tokens
from geoingest.local import cluster, roles
from tests import commands, conftest, processes

STUDENT, DEVICE = 7301902846, 1987654321
# Digits that no clock, size or process id has.
LATITUDES = {
    "valid": 41.7392581,
    "late": 42.7392582,
    "unstorable": 43.7392583,
    "by_sql": 94.7392584,
    "outside": 95.7392585,
    "no_json": 46.7392586,
    "stranger": 47.7392587,
    "app": 49.7392589,
    "lost": 48.7392588,
}
LONGITUDE = -71.6482935
# The error's DETAIL holds a position, as that of a violated constraint does.
BREAK = (
    "CREATE FUNCTION leak(double precision) RETURNS double precision LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'broken' USING DETAIL = $1::text; END $$",
    "ALTER TABLE geolocation_data RENAME TO away",
    'CREATE VIEW geolocation_data AS SELECT student_id, "timestamp", device_id, leak(latitude)'
    " AS latitude, longitude, accuracy, altitude, speed, course, battery, NULL::smallint AS flags, received_at FROM away",
    "ALTER TABLE geolocation_seen RENAME TO seen_away",
    "CREATE VIEW geolocation_seen AS TABLE geolocation_data",
    f"GRANT SELECT ON geolocation_seen TO {roles.READ}",
    f"GRANT EXECUTE ON FUNCTION leak(double precision) TO {roles.READ}",
    f"GRANT INSERT ON geolocation_data TO {roles.INGEST}",
)
STRANGER = "gi_dev_StrangersCanaryToken"


class _Logs:
    """What the servers write into their logs from now on."""

    def __init__(self, servers: cluster.Cluster) -> None:
        self._paths = [servers.primary.log_path, servers.replica.log_path]
        self._sizes = [path.stat().st_size for path in self._paths]

    def text(self) -> str:
        """Everything since."""
        return "".join(
            path.read_bytes()[size:].decode(errors="replace")
            for path, size in zip(self._paths, self._sizes, strict=True)
        )


class _Phone:
    """Posts and reads at a service, and keeps every answer's bytes."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self.statuses: list[int] = []
        self.answers = ""

    async def ask(self, method: str, path: str, token: str, **request: Any) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.request(
            method, self._url + path, headers=headers, **request
        ) as answer:
            self.statuses.append(answer.status)
            self.answers += f"{answer.headers}\n{await answer.text()}\n"

    async def post(self, token: str, kind: str, **changes: object) -> None:
        await self.ask("POST", "/v1/pings", token, json=_ping(kind, **changes))


def _ping(kind: str, **changes: object) -> dict[str, object]:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    return {"timestamp": now, "latitude": LATITUDES[kind], "longitude": LONGITUDE, **changes}


@pytest.fixture
def child(database: conftest.Database) -> Mapping[str, str]:
    """One student whose numbers and tokens can be told from all others."""
    device, viewer = tokens.create("device"), tokens.create("viewer")
    database.query("INSERT INTO students (student_id) VALUES ($1)", STUDENT)
    insert = "INSERT INTO devices (device_id, student_id, token_digest) VALUES ($1, $2, $3)"
    database.query(insert, DEVICE, STUDENT, tokens.digest(device))
    insert = "INSERT INTO viewers (viewer_id, token_digest) VALUES ($1, $2)"
    database.query(insert, DEVICE, tokens.digest(viewer))
    database.query("INSERT INTO guardianships VALUES ($1, $2)", DEVICE, STUDENT)
    # Under it, one ping passes every check of the service and none of the table.
    database.query(
        "ALTER TABLE geolocation_data ADD CONSTRAINT canary CHECK (latitude < 43 OR latitude > 44)"
    )
    return {"device": device, "viewer": viewer}


def _canaries(child: Mapping[str, str]) -> dict[str, str]:
    """What must not be found, by what it is."""
    degrees = {kind: str(one)[:9] for kind, one in LATITUDES.items()}
    secrets = {kind: token[-30:] for kind, token in child.items()} | {"unknown": STRANGER}
    digests = {f"{kind} digest": tokens.digest(token).hex() for kind, token in child.items()}
    numbers = {"student": str(STUDENT), "device": str(DEVICE)}
    return degrees | {"longitude": str(LONGITUDE)[:9]} | secrets | digests | numbers


def _found(text: str, child: Mapping[str, str]) -> list[str]:
    return [kind for kind, canary in _canaries(child).items() if canary in text]


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_nothing_of_a_child_is_told_to_others(
    database: conftest.Database,
    servers: cluster.Cluster,
    school: list[provision.Enrolled],
    child: Mapping[str, str],
    log_format: str,
) -> None:
    """Neither the service's log, PostgreSQL's logs, /metrics, an error's answer nor another viewer's has a canary."""
    logs = _Logs(servers)
    settings = {
        "GEOINGEST_LOG_FORMAT": log_format,
        "GEOINGEST_LOG_LEVEL": "debug",
        "GEOINGEST_MAX_BODY_BYTES": "2000",
    }
    async with (
        processes.serving(database, **settings) as service,
        aiohttp.ClientSession() as session,
    ):
        phone, others, itself = (_Phone(session, service.url) for _ in range(3))
        await _good_and_bad(phone, child)
        # A line so long that aiohttp refuses it, and tells the sender what it was.
        await itself.ask("GET", f"/v1/traccar?{_query('app', child['device'])}&a={'a' * 9000}", "")
        await _others(others, school[0].viewer_token)
        with pytest.raises(psycopg.errors.CheckViolation):
            _insert(database, LATITUDES["by_sql"])
        _insert(database, LATITUDES["valid"])
        with pytest.raises(psycopg.errors.UniqueViolation):
            _insert(database, LATITUDES["valid"])
        # From here on every read breaks over a child's row, and every write at the table.
        for statement in BREAK:
            database.query(statement)
        await conftest.until(lambda: _is_replayed(database))
        await _broken(others, child)
        async with session.get(f"{service.admin_url}/metrics") as answer:
            scraped = await answer.text()
        service.terminate()
        assert await service.ended() == 0
        said = service.output()
    written = logs.text()

    assert phone.statuses == [200] * 9
    assert itself.statuses == [400]
    assert others.statuses == [404, 404, 404, 200, 401, 401, 400, 413, 500, 500, 503, 503]
    # The lines in which it could have stood are there.
    for words in ("request failed", "ping the database does not take", "batch not confirmed"):
        assert words in said
    assert "canary" in written
    assert 'violates check constraint "latitude_in_range"' in written
    assert "duplicate key value" in written
    assert 'geoingest_pings_rejected_total{reason="unstorable"} 2.0' in scraped
    told = {"log": said, "PostgreSQL": written, "metrics": scraped, "answers": others.answers}
    assert {where: found for where, text in told.items() if (found := _found(text, child))} == {}
    # And the search finds what is there.
    assert set(_found(str(_canaries(child)), child)) == set(_canaries(child))


async def test_no_log_holds_a_token_or_a_passphrase(
    database: conftest.Database, servers: cluster.Cluster
) -> None:
    """Of a device that is added, posts, is rotated and revoked; nor does a statement's error."""
    logs = _Logs(servers)
    debug = {"GEOINGEST_LOG_LEVEL": "debug"}
    command = ("device", "add", "--student", "1", "--app", "owntracks", "--encrypted")
    added = commands.run(*command, database=database, environment=debug)
    device, old = added.stdout.split()
    passphrase = added.stderr.split("(Android: Encryption Key)")[1].split()[0]
    key = passphrases.owntracks_key(passphrase)
    rotated, revoked = ("device", "rotate", device), ("device", "revoke", device)
    async with (
        processes.serving(database, **debug) as service,
        aiohttp.ClientSession() as session,
    ):
        phone = _Phone(session, service.url)
        told = commands.run(*rotated, database=database, environment=debug)
        new = told.stdout.split()[1]
        await _answered(phone, new, 200)
        await phone.post(old, "valid")
        told_again = commands.run(*revoked, database=database, environment=debug)
        await _answered(phone, new, 401)
        await phone.ask("POST", f"/v1/traccar?id={old}&lat=1&lon=1", "")
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            database.query("UPDATE devices SET owntracks_key = $1", key + b"!")
        with pytest.raises(psycopg.errors.CheckViolation):
            database.query("UPDATE devices SET previous_digest = $1", tokens.digest(old))
        async with session.get(f"{service.admin_url}/metrics") as answer:
            scraped = await answer.text()
        service.terminate()
        assert await service.ended() == 0
        said = service.output()
    written = logs.text()

    assert phone.statuses[-1] == 401
    assert refused.value.diag.constraint_name == "owntracks_key_is_32_bytes"
    assert "owntracks_key_is_32_bytes" in written
    secrets = [old[-30:], new[-30:], passphrase, key.hex(), tokens.digest(old).hex()]
    for text in (said, written, scraped, phone.answers, told.stderr, told_again.output):
        assert [secret for secret in secrets if secret in text] == []


async def _answered(phone: _Phone, token: str, status: int) -> None:
    """Posts until the poll has brought this answer about."""
    async with asyncio.timeout(10):
        while not phone.statuses or phone.statuses[-1] != status:
            await phone.post(token, "valid")
            await asyncio.sleep(0.1)


async def _good_and_bad(phone: _Phone, child: Mapping[str, str]) -> None:
    """Stored, duplicate, rejected at the door, rejected by the table; nonsense beside a position."""
    token = child["device"]
    again = _ping("late")
    await phone.post(token, "valid", battery="full", note="\ud800")
    await phone.ask("POST", "/v1/pings", token, json=[again, again])
    await phone.ask("POST", "/v1/pings", token, json=again)
    await phone.post(token, "outside")
    await phone.post(token, "unstorable")
    for kind in ("app", "outside", "unstorable"):
        await phone.ask("GET", f"/v1/traccar?{_query(kind, token)}", "")
    await phone.ask("POST", "/v1/traccar", "", data=_query("app", token) + "&lat=%zz")


async def _others(others: _Phone, viewer: str) -> None:
    """Another guardian, a stranger, a body that is no JSON and one that is too long."""
    await others.ask("GET", f"/v1/students/{STUDENT}/location", viewer)
    await others.ask("GET", f"/v1/students/{STUDENT}/track", viewer)
    await others.ask("GET", f"/v1/locations?student_id={STUDENT}", viewer)
    await others.ask("GET", "/v1/locations", viewer)
    await others.post(STRANGER, "stranger")
    await others.ask("GET", f"/v1/gpslogger?{_query('stranger', STRANGER)}", "")


async def _broken(others: _Phone, child: Mapping[str, str]) -> None:
    token = child["device"]
    text = f'{{"latitude": {LATITUDES["no_json"]}, "longitude": {LONGITUDE}'.encode()
    await others.ask("POST", "/v1/pings", token, data=text)
    await others.ask("POST", "/v1/pings", token, data=text + b" " * 2000)
    for path in ("location", "track"):
        await others.ask("GET", f"/v1/students/{STUDENT}/{path}", child["viewer"])
    await others.post(token, "lost")
    await others.ask("GET", f"/v1/traccar?{_query('lost', token)}", "")


def _query(kind: str, token: str) -> str:
    seconds = int(datetime.datetime.now(datetime.UTC).timestamp())
    place = f"lat={LATITUDES[kind]}&lon={LONGITUDE}"
    return f"id={token}&token={token}&{place}&timestamp={seconds}"


def _insert(database: conftest.Database, latitude: float) -> None:
    database.query(
        'INSERT INTO geolocation_data (student_id, "timestamp", device_id, latitude, longitude,'
        " received_at) VALUES ($1, date_trunc('hour', now()), $2, $3, $4, now())",
        STUDENT,
        DEVICE,
        latitude,
        LONGITUDE,
    )


def _is_replayed(database: conftest.Database) -> bool:
    query = "SELECT replay_lsn >= pg_current_wal_lsn() FROM pg_stat_replication"
    return database.administer(query) == [(True,)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_error_verbosity", "terse"),
        ("log_min_error_statement", "panic"),
        ("log_parameter_max_length", "0"),
        ("log_parameter_max_length_on_error", "0"),
    ],
)
def test_the_servers_we_start_log_no_values(name: str, value: str) -> None:
    """An error's DETAIL, its statement and its parameters each hold a whole ping."""
    text = (config.sql_folder() / "postgresql.conf").read_text()
    found = dict(re.findall(r"^(\w+) = '?(.*?)'?$", text, re.MULTILINE))

    assert found[name] == value
