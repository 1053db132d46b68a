"""Decoders that are broken on purpose: the fuzzer must find out each of their faults."""

from __future__ import annotations

from collections.abc import Iterator

from typing_extensions import override

from geoingest.ingest import apps
from geoingest.ingest.protocols import gpslogger, message


def _falls(request: message.Request) -> message.Message:
    sent = gpslogger.decode(request)
    for item in sent.items:
        if isinstance(item, dict) and item.get("course", 0) > 360:
            # The fault: it is no ValueError.
            raise KeyError("course")
    return sent


class _Leaking(list[message.Item]):
    @override
    def __iter__(self) -> Iterator[message.Item]:
        return iter(self[1:])


def _loses(request: message.Request) -> message.Message:
    sent = gpslogger.decode(request)
    if "prov=" in request.query:
        return sent._replace(items=_Leaking(sent.items))
    return sent


def _dawdles(request: message.Request) -> message.Message:
    text = request.body.decode(errors="replace")
    for _ in text:
        # The fault: a copy of the whole for each of its letters.
        text = text[1:] + "x"
    return gpslogger.decode(request)


APPS = tuple(
    apps.App(name, name, (), decode, "", b"")
    for name, decode in (("falls", _falls), ("loses", _loses), ("dawdles", _dawdles))
)
