"""Guardians log in: prebuilt requests by e-mail and password, each from a household of its own."""

from __future__ import annotations

import http.client
import random
import statistics
import time
from collections.abc import Sequence

import orjson

from bench import world
from geoingest import db
from geoingest.access import passwords

PASSWORD = "seven small boats at sea"
WRONG = "seven small boats in port"
LOGGED_IN = b'"role":"guardian"}'
# The service believes whatever the load generator says it forwards.
SETTINGS = {"GEOINGEST_TRUSTED_PROXIES": "127.0.0.1"}
_HOUSEHOLDS = 2**16
# One hash for all: to make as many would take minutes, and to check one takes as long as another.
_SEED = """
UPDATE viewers
SET email = 'viewer' || viewer_id || '@example.org', password_hash = $1
WHERE role = 'guardian'
RETURNING email
"""


class Logins:
    """An endless supply of requests, by any of the accounts; all from one address if one is named."""

    def __init__(
        self, emails: Sequence[str], *, port: int, password: str = PASSWORD, address: str = ""
    ) -> None:
        self._bodies = [orjson.dumps({"email": one, "password": password}) for one in emails]
        self._head = (
            f"POST /v1/login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: guardian/1.0\r\n"
            "Content-Type: application/json\r\nX-Forwarded-For: "
        ).encode()
        self._address = address.encode()
        self._chooser = random.Random(6)

    def request(self, _number: int) -> bytes:
        """Whoever comes next."""
        at = self._chooser.randrange(len(self._bodies))
        body = self._bodies[at]
        high, low = divmod(at % _HOUSEHOLDS, 256)
        address = self._address or b"10.0.%d.%d" % (high, low)
        return b"%s%s\r\nContent-Length: %d\r\n\r\n%s" % (self._head, address, len(body), body)


def unknown_to_wrong(emails: Sequence[str], *, host: str, port: int) -> float:
    """How long it takes to be told that nobody has an e-mail, to that a password is wrong: medians, in turn."""
    connection = http.client.HTTPConnection(host, port)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for number, email in enumerate(emails):
        for is_known in (True, False):
            one = email if is_known else f"no-{email}"
            # From everywhere, so that nobody has to wait.
            headers = {"X-Forwarded-For": f"10.{2 + is_known}.{number // 256}.{number % 256}"}
            started = time.perf_counter()
            connection.request(
                "POST", "/v1/login", orjson.dumps({"email": one, "password": WRONG}), headers
            )
            answer = connection.getresponse()
            answer.read()
            seconds[is_known].append(time.perf_counter() - started)
            assert answer.status == 401, answer.status
    connection.close()
    return round(statistics.median(seconds[False]) / statistics.median(seconds[True]), 3)


def seed(on: world.World) -> list[str]:
    """Gives every guardian an e-mail, which are returned, and the same password."""
    with db.direct(on.url) as connection:
        rows = connection.execute(_SEED, [passwords.hash_now(PASSWORD)]).fetchall()
        connection.execute("VACUUM (ANALYZE) viewers")
    return [str(row["email"]) for row in rows]
