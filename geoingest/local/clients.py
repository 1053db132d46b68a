"""The apps that people have, as rules: what each takes for success, when it comes again, what it drops.

Read from the apps' own sources, in the versions that are named. An app that follows redirects is
judged by the answer at the end of them.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Literal

from geoingest.local import answers, dialects


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One app in one version."""

    name: str
    write: dialects.Write
    judge: Callable[[answers.Answer | None], answers.Fate]
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

    def pause_seconds(self, failures: int, answer: answers.Answer | None) -> float:
        """How long it waits after so many failures in a row, the last of them with this answer."""
        if self.heeds_retry_after and answer and answer.retry_after_seconds is not None:
            return answer.retry_after_seconds
        return self.pauses_seconds[min(failures, len(self.pauses_seconds)) - 1]


def _doubling(first_seconds: float, longest_seconds: float) -> tuple[float, ...]:
    if first_seconds >= longest_seconds:
        return (longest_seconds,)
    return (first_seconds, *_doubling(first_seconds * 2, longest_seconds))


NATIVE = Client(
    name="native",
    write=dialects.native,
    judge=answers.native,
    pauses_seconds=_doubling(1, 30),
    most_fixes=100,
    heeds_retry_after=True,
    jitter=0.5,
    counts=("stored", "duplicate", "rejected"),
)
TRACCAR_ANDROID = Client(
    name="Traccar Client 8 for Android",
    write=dialects.traccar_android,
    judge=answers.below_400,
    pauses_seconds=(30,),
)
TRACCAR_IOS = Client(
    name="Traccar Client 8 for iOS",
    write=dialects.traccar_ios,
    judge=answers.any_answer,
    pauses_seconds=(30,),
)
TRACCAR_9 = Client(
    name="Traccar Client 9",
    write=dialects.traccar_json,
    judge=answers.one_of_three,
    # It stops until the next location, or until its heartbeat.
    pauses_seconds=(60,),
    is_woken_by_fix=True,
)
TRACCAR_10 = Client(
    name="Traccar Client 10",
    write=dialects.traccar_form,
    judge=answers.any_2xx,
    pauses_seconds=_doubling(5, 300),
)
OWNTRACKS_ANDROID = Client(
    name="OwnTracks for Android",
    write=dialects.owntracks,
    judge=answers.any_2xx,
    pauses_seconds=_doubling(1, 120),
    most_queued=100_000,
)
OWNTRACKS_ANDROID_257 = dataclasses.replace(
    OWNTRACKS_ANDROID, name="OwnTracks 2.5.7 for Android", judge=answers.json_array
)
OWNTRACKS_IOS = Client(
    name="OwnTracks for iOS",
    write=dialects.owntracks,
    judge=answers.drops_4xx,
    pauses_seconds=_doubling(1, 64),
    most_queued=102_400,
    drops_when_full="newest",
)
OVERLAND = Client(
    name="Overland for iOS",
    write=dialects.overland,
    judge=answers.result_ok,
    # Its user's choice between a second and half an hour.
    pauses_seconds=(30,),
    most_fixes=200,
    sends_current=True,
)
COLOTA = Client(
    name="Colota for Android",
    write=dialects.colota,
    judge=answers.halves_4xx,
    pauses_seconds=(30, 60, 300, 900),
    most_fixes=50,
)
GPSLOGGER = Client(
    name="GPSLogger for Android",
    write=dialects.gpslogger,
    judge=answers.any_2xx,
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
