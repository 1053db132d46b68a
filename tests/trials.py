"""One input of the fuzzer: the request that it stands for, what must hold of it, and how soon."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import orjson

from geoingest import http
from geoingest.ingest import apps
from geoingest.ingest.protocols import message
from tests import clumsy, test_protocols

MOST_BYTES = 65_536
MOST_CPU_SECONDS = 0.05
APPS = {app.name: app for app in (*apps.APPS, *clumsy.APPS)}
_CONTENT_TYPES = ("", http.JSON, "application/x-www-form-urlencoded")
# Nearly as deep as the parser takes.
_DEEP = b"[" * 1010 + b"]" * 1010
# With room for what stands around it.
_MANY_BYTES = MOST_BYTES - 1500


def request(data: bytes) -> message.Request:
    """The first byte chooses the content's type, the rest of its line is the query, then the body."""
    query, _, body = data[1:].partition(b"\n")
    return message.Request(
        query.decode(errors="surrogateescape"),
        _CONTENT_TYPES[data[0] % len(_CONTENT_TYPES)] if data else "",
        body,
        test_protocols.RECEIVED_AT,
    )


def seconds(app: apps.App, data: bytes) -> float:
    """CPU time until all is decoded and salvaged; whatever is not as it must be is raised."""
    sent = request(data)
    started = time.process_time()
    test_protocols.check(app, sent)
    return time.process_time() - started


def least_seconds(app: apps.App, data: bytes) -> float:
    """The best of three: what else the machine does is no fault of the decoder's."""
    return min(seconds(app, data) for _ in range(3))


def seeds() -> list[bytes]:
    """What the apps send, as the tests know it; a long one made of each, and deep ones."""
    known: list[object] = [
        *(param.values[1] for param in test_protocols.MESSAGES),
        *(sent for _, sent, _ in test_protocols.TOKENS),
        *(sent for _, sent in test_protocols.WITHOUT_A_FIX),
    ]
    sent = [one for one in known if isinstance(one, message.Request)]
    return [_data(one) for each in sent for one in (each, *_larger(each))]


def names() -> list[str]:
    """What the members and parameters of what they send are called, and words beside them."""
    return sorted(
        {name for seed in seeds() for name in re.findall(r"[A-Za-z_]{2,40}", seed.decode())}
    )


def _data(sent: message.Request) -> bytes:
    kind = _CONTENT_TYPES.index(sent.content_type)
    return b"%c%b\n%b" % (kind, sent.query.encode(), sent.body)


def _larger(sent: message.Request) -> Iterator[message.Request]:
    if sent.content_type != http.JSON:
        yield sent._replace(query=_many(sent.query.encode(), b"&").decode())
        yield sent._replace(body=_many(sent.body, b"&"))
        return
    document = orjson.loads(sent.body)
    yield sent._replace(body=b"[%b]" % _many(sent.body, b","))
    for larger in _nested(document):
        yield sent._replace(body=orjson.dumps(larger))
    for name, value in document.items() if isinstance(document, dict) else ():
        for one in (0, *value) if isinstance(value, list) else ():
            many = orjson.Fragment(b"[%b]" % _many(orjson.dumps(one), b","))
            yield sent._replace(body=orjson.dumps({**document, name: many}))


def _nested(value: object) -> Iterator[object]:
    """It with one of its members nested deep, each in turn; last itself."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from ({**value, name: one} for one in _nested(inner))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], one, *value[at + 1 :]] for one in _nested(inner))
    yield orjson.Fragment(_DEEP)


def _many(one: bytes, between: bytes) -> bytes:
    return between.join([one] * (_MANY_BYTES // (len(one) + 1)))
