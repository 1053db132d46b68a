"""The address a caller comes from, also when it comes by way of proxies that we trust."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from geoingest import errors

_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
# What a provider gives to one customer, who has every address in it.
_CUSTOMER_BITS = 64


def networks(text: str) -> list[_Network]:
    """Addresses and networks, separated by commas; SettingsError for anything else."""
    try:
        return [ipaddress.ip_network(one.strip()) for one in text.split(",") if one.strip()]
    except ValueError as exc:
        raise errors.SettingsError(
            f"GEOINGEST_TRUSTED_PROXIES={text}: addresses or networks as 10.0.0.7,10.1.0.0/16"
        ) from exc


def client(remote: str | None, forwarded: Iterable[str], trusted: Iterable[_Network]) -> str:
    """Who is asking, by what can be believed: the last hop of X-Forwarded-For that no proxy of ours is.

    `remote` is the other end of our own connection, "" where it has no address. Of IPv6 only the network
    counts.
    """
    proxies = list(trusted)
    hops = [hop for line in forwarded for hop in line.split(",")]
    address = _address(remote or "")
    while address is not None and hops and _is_among(address, proxies):
        hop = _address(hops.pop())
        if hop is None:
            # Whoever wrote that is no proxy that we know; it is the one before who asks.
            break
        address = hop
    if address is None:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _CUSTOMER_BITS), strict=False))
    return str(address)


def _is_among(address: _Address, networks: Iterable[_Network]) -> bool:
    return any(address in network for network in networks)


def _address(text: str) -> _Address | None:
    """With or without a port; an IPv4 address that is written as IPv6 is the former."""
    word = text.strip()
    if word.startswith("["):
        word = word[1:].partition("]")[0]
    elif word.count(":") == 1:
        word = word.partition(":")[0]
    with contextlib.suppress(ValueError):
        found = ipaddress.ip_address(word)
        mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
        return mapped or found
    return None
