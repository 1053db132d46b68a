"""The apps that people have, as rules: what each takes for success, when it comes again, what it drops.

Read from the apps' own sources, in the versions that are named. An app that follows redirects is
judged by the answer at the end of them.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import orjson

from geoingest.local import dialects


class Answer(NamedTuple):
    """What came back; where nothing did, there is None in its place."""

    status: int
    content_type: str = ""
    body: bytes = b""
    retry_after_seconds: float | None = None


# taken: the app forgets the fixes, because they are safe. dropped: it forgets them, and they may not be.
# kept: it sends the same again. halved: it looks for the one that is in the way. hopeless: it gives up.
Fate: TypeAlias = Literal["taken", "dropped", "kept", "halved", "hopeless"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One app in one version."""

    name: str
    write: dialects.Write
    judge: Callable[[Answer | None], Fate]
    # After the first, second, ... failure in a row; the last one for all that follow.
    pauses_seconds: tuple[float, ...]
    # In one request.
    most_fixes: int = 1
    # None: each fix is a job of its own, tried so often and with pauses of its own, in any order.
    is_in_order: bool = True
    most_attempts: int | None = None
    most_queued: int | None = None
    drops_when_full: Literal["oldest", "newest"] = "oldest"
    sends_current: bool = False
    # The next fix ends a pause.
    is_woken_by_fix: bool = False
    heeds_retry_after: bool = False
    # A pause is shorter by up to this share.
    jitter: float = 0.0
    # What the body of a success counts.
    counts: tuple[str, ...] = ()

    def pause_seconds(self, failures: int, answer: Answer | None) -> float:
        """How long it waits after so many failures in a row, the last of them with this answer."""
        if self.heeds_retry_after and answer and answer.retry_after_seconds is not None:
            return answer.retry_after_seconds
        return self.pauses_seconds[min(failures, len(self.pauses_seconds)) - 1]


def _is_2xx(answer: Answer | None) -> bool:
    return answer is not None and 200 <= answer.status < 300


def _is_4xx(answer: Answer | None) -> bool:
    return answer is not None and 400 <= answer.status < 500


def _any_2xx(answer: Answer | None) -> Fate:
    return "taken" if _is_2xx(answer) else "kept"


def _below_400(answer: Answer | None) -> Fate:
    return "taken" if answer is not None and answer.status < 400 else "kept"


def _any_answer(answer: Answer | None) -> Fate:
    if answer is None:
        return "kept"
    return "taken" if answer.status < 400 else "dropped"


def _200_201_204(answer: Answer | None) -> Fate:
    return "taken" if answer is not None and answer.status in (200, 201, 204) else "kept"


def _json_array(answer: Answer | None) -> Fate:
    return "taken" if _is_2xx(answer) and isinstance(_document(answer), list) else "kept"


def _drops_4xx(answer: Answer | None) -> Fate:
    return "dropped" if _is_4xx(answer) else _any_2xx(answer)


def _halves_4xx(answer: Answer | None) -> Fate:
    return "halved" if _is_4xx(answer) else _any_2xx(answer)


def _result_ok(answer: Answer | None) -> Fate:
    if not _is_2xx(answer) or answer is None or answer.content_type != "application/json":
        return "kept"
    document = _document(answer)
    is_ok = isinstance(document, dict) and document.get("result") == "ok"
    return "taken" if is_ok else "kept"


def _native(answer: Answer | None) -> Fate:
    if answer is None or answer.status == 503:
        return "kept"
    return "taken" if answer.status == 200 else "hopeless"


def _document(answer: Answer | None) -> object:
    try:
        return None if answer is None else orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None


def _doubling(first_seconds: float, longest_seconds: float) -> tuple[float, ...]:
    if first_seconds >= longest_seconds:
        return (longest_seconds,)
    return (first_seconds, *_doubling(first_seconds * 2, longest_seconds))


NATIVE = Client(
    name="native",
    write=dialects.native,
    judge=_native,
    pauses_seconds=_doubling(1, 30),
    most_fixes=100,
    heeds_retry_after=True,
    jitter=0.5,
    counts=("stored", "duplicate", "rejected"),
)
TRACCAR_ANDROID = Client(
    name="Traccar Client 8 for Android",
    write=dialects.traccar_android,
    judge=_below_400,
    pauses_seconds=(30,),
)
TRACCAR_IOS = Client(
    name="Traccar Client 8 for iOS",
    write=dialects.traccar_ios,
    judge=_any_answer,
    pauses_seconds=(30,),
)
TRACCAR_9 = Client(
    name="Traccar Client 9",
    write=dialects.traccar_json,
    judge=_200_201_204,
    # It stops until the next location, or until its heartbeat.
    pauses_seconds=(60,),
    is_woken_by_fix=True,
)
TRACCAR_10 = Client(
    name="Traccar Client 10",
    write=dialects.traccar_form,
    judge=_any_2xx,
    pauses_seconds=_doubling(5, 300),
)
OWNTRACKS_ANDROID = Client(
    name="OwnTracks for Android",
    write=dialects.owntracks,
    judge=_any_2xx,
    pauses_seconds=_doubling(1, 120),
    most_queued=100_000,
)
OWNTRACKS_ANDROID_257 = dataclasses.replace(
    OWNTRACKS_ANDROID, name="OwnTracks 2.5.7 for Android", judge=_json_array
)
OWNTRACKS_IOS = Client(
    name="OwnTracks for iOS",
    write=dialects.owntracks,
    judge=_drops_4xx,
    pauses_seconds=_doubling(1, 64),
    most_queued=102_400,
    drops_when_full="newest",
)
OVERLAND = Client(
    name="Overland for iOS",
    write=dialects.overland,
    judge=_result_ok,
    # Its user's choice between a second and half an hour.
    pauses_seconds=(30,),
    most_fixes=200,
    sends_current=True,
)
COLOTA = Client(
    name="Colota for Android",
    write=dialects.colota,
    judge=_halves_4xx,
    pauses_seconds=(30, 60, 300, 900),
    most_fixes=50,
)
GPSLOGGER = Client(
    name="GPSLogger for Android",
    write=dialects.gpslogger,
    judge=_any_2xx,
    pauses_seconds=_doubling(30, 18_000),
    is_in_order=False,
    most_attempts=3,
)

# Phone n of a protocol runs the client n modulo how many there are.
PROTOCOLS: Mapping[str, tuple[Client, ...]] = types.MappingProxyType(
    {
        "native": (NATIVE,),
        "traccar": (TRACCAR_ANDROID, TRACCAR_IOS, TRACCAR_9, TRACCAR_10),
        "owntracks": (OWNTRACKS_ANDROID, OWNTRACKS_ANDROID_257, OWNTRACKS_IOS),
        "overland": (OVERLAND,),
        "gpslogger": (GPSLOGGER,),
        "colota": (COLOTA,),
    }
)
