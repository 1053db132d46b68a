"""Canaries: no password, e-mail, address or session comes out where it has no business; a dump lets nobody in."""

from __future__ import annotations

import hashlib
import subprocess

import aiohttp
import psycopg
import pytest

from geoingest.access import provision
from geoingest.local import cluster
from tests import accounts, conftest, processes

EMAIL = "canary.kestrel@example.org"
WRONG = "canary magpie seventeen"
NEW = "canary nightjar nineteen"
ADDRESS = "203.0.113.77"


class _Written:
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


def _dump(servers: cluster.Cluster, database: conftest.Database) -> str:
    """All that is in the database, as pg_dump writes it."""
    return subprocess.run(
        [str(servers.programs / "pg_dump"), "--dbname", database.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_what_is_typed_stays_where_it_was_typed(
    database: conftest.Database,
    servers: cluster.Cluster,
    school: list[provision.Enrolled],
    log_format: str,
) -> None:
    """Neither logs nor metrics nor answers hold it, whatever breaks; a dump holds hashes, and nothing to log in with."""
    written = _Written(servers)
    accounts.add(database, school[0], email=EMAIL)
    settings = {
        "GEOINGEST_LOG_FORMAT": log_format,
        "GEOINGEST_LOG_LEVEL": "debug",
        "GEOINGEST_TRUSTED_PROXIES": "127.0.0.1",
        "GEOINGEST_READ_TIMEOUT_SECONDS": "1",
    }
    answers = []
    async with (
        processes.serving(database, **settings) as service,
        aiohttp.ClientSession(service.url) as session,
    ):

        async def log_in(password: str) -> str:
            answer = await accounts.log_in(session, EMAIL, password, at=ADDRESS)
            answers.append((answer.status, f"{answer.headers}{answer.raw!r}"))
            return str(answer.body.get("token", ""))

        token = await log_in(accounts.PASSWORD)
        for _ in range(6):
            await log_in(WRONG)
        change = {"old_password": accounts.PASSWORD, "new_password": NEW}
        database.query("TRUNCATE login_failures")
        changed = await accounts.ask(session, token, "/v1/password", method="POST", json=change)
        dumped = _dump(servers, database)
        # From here on nobody is found, and no failure is counted.
        database.query("ALTER TABLE login_failures ADD CHECK (failures < 0)")
        await log_in(WRONG)
        database.query("ALTER TABLE viewers RENAME TO away")
        await log_in(NEW)
        database.query("ALTER TABLE away RENAME TO viewers")
        with pytest.raises(psycopg.errors.UniqueViolation):
            database.query("UPDATE viewers SET email = $1", EMAIL)
        async with session.get(f"{service.admin_url}/metrics") as answer:
            scraped = await answer.text()
        service.terminate()
        assert await service.ended() == 0
        said = service.output()

    statuses = [status for status, _ in answers]
    assert statuses == [200, *[401] * 5, 429, 500, 500]
    assert changed.status == 204
    # The lines in which it could have stood are there.
    assert "request failed" in said
    assert "viewer_email_is_unique" in written.text()
    refused = "".join(text for status, text in answers if status != 200)
    typed = [EMAIL, accounts.PASSWORD, WRONG, NEW, ADDRESS, token[7:]]
    for text in (said, written.text(), scraped, refused):
        assert [one for one in typed if one in text] == []
    # Of these the e-mail is the viewer's own, and kept.
    secrets = [accounts.PASSWORD, WRONG, NEW, ADDRESS, token[7:]]
    assert [one for one in secrets if one in dumped] == []
    assert EMAIL in dumped
    # The dump is whole: the session's digest and the hash of the new password are there.
    assert hashlib.sha256(token.encode()).hexdigest() in dumped
    assert dumped.count("$argon2id$v=19$m=7168,t=5,p=1$") == 1
