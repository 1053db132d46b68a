"""The address that failures are counted by is one that a caller cannot choose."""

from __future__ import annotations

import pytest

from geoingest import config, errors
from geoingest.access import addresses
from tests import commands

PROXIES = "10.0.0.7, 10.1.0.0/16,2001:db8:1::/48"
# Two hops by our own proxies, whoever asked before.
CLIENT, INNER, OUTER = "203.0.113.9", "10.1.2.3", "10.0.0.7"


def _client(remote: str | None, *forwarded: str, trusted: str = PROXIES) -> str:
    return addresses.client(remote, forwarded, addresses.networks(trusted))


@pytest.mark.parametrize(
    ("remote", "forwarded", "found"),
    [
        (CLIENT, (), CLIENT),
        # Not by way of a proxy of ours: what it says of others is its own affair.
        (CLIENT, ("192.0.2.1",), CLIENT),
        (OUTER, (CLIENT,), CLIENT),
        (OUTER, (f"{CLIENT}, {INNER}",), CLIENT),
        (OUTER, (CLIENT, INNER), CLIENT),
        # Whatever the client has put before is not asked for.
        (OUTER, (f"192.0.2.1, 10.1.9.9, {CLIENT}, {INNER}",), CLIENT),
        (OUTER, (f"192.0.2.1, {CLIENT}",), CLIENT),
        # A proxy of ours that is itself the client.
        (OUTER, (), OUTER),
        (OUTER, (INNER,), INNER),
        # What is no address ends the chain.
        (OUTER, ("unknown",), OUTER),
        (OUTER, (f"192.0.2.1, unknown, {INNER}",), INNER),
        (OUTER, ("",), OUTER),
        # With ports, as some proxies write them.
        (OUTER, (f"{CLIENT}:4711",), CLIENT),
        (OUTER, ("[2001:db8:7::9]:4711",), "2001:db8:7::/64"),
        # Whoever has one address of such a network has all of them.
        ("2001:db8:7:1:2:3:4:5", (), "2001:db8:7:1::/64"),
        ("2001:db8:1::7", ("2001:db8:7::9",), "2001:db8:7::/64"),
        (f"::ffff:{OUTER}", (f"::ffff:{CLIENT}",), CLIENT),
        # By a unix socket there is none.
        (None, (CLIENT,), ""),
        ("", (CLIENT,), ""),
    ],
)
def test_the_last_hop_that_is_not_ours_asks(
    remote: str | None, forwarded: tuple[str, ...], found: str
) -> None:
    """However many of our proxies it came through, and whatever it has written itself."""
    assert _client(remote, *forwarded) == found


def test_nobody_is_trusted_by_default() -> None:
    """The header is what anybody can write."""
    assert config.Config().trusted_proxies == ""
    assert _client(OUTER, CLIENT, trusted="") == OUTER


@pytest.mark.parametrize("text", ["10.0.0.256", "proxy.example.org", "10.0.0.7/8", "10.0.0.7;::1"])
def test_what_is_no_address_stops_the_start(text: str) -> None:
    """Exit code 78, and the setting by its name: a typo would make all callers one."""
    with pytest.raises(errors.SettingsError, match="GEOINGEST_TRUSTED_PROXIES") as caught:
        addresses.networks(text)

    assert caught.value.exit_code == 78


def test_it_stops_before_anything_is_served() -> None:
    """Also before a database is asked for."""
    environment = {
        "GEOINGEST_TRUSTED_PROXIES": "10.0.0.300",
        "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    }
    result = commands.run("serve", environment=environment)

    assert (result.exit_code, result.stdout) == (78, "")
    assert "GEOINGEST_TRUSTED_PROXIES=10.0.0.300" in result.stderr
