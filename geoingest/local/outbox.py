"""What a phone has recorded and not yet got rid of, by the rules of its app.

1. take() hands out what the next request carries; nothing while the app pauses.
2. Whatever comes back, answered() decides: forgotten, or in the queue again and a pause.
3. An app that halves splits what was refused until one fix is left, lays that aside and goes on; when
   nothing else is left, what lies aside is queued again and the app pauses.
"""

from __future__ import annotations

import collections
import heapq
import itertools
import math
import random
from collections.abc import Iterable
from typing import NamedTuple, assert_never

from geoingest.local import answers, clients, dialects, traces

_ANY_TIME = -math.inf


class Dropped(NamedTuple):
    """A fix that the app threw away, and the answer that made it; None where none came."""

    fix: traces.Fix
    answer: answers.Answer | None


class _Job(NamedTuple):
    """A fix that is tried again by itself; jobs leave in this order."""

    due_at: float
    number: int
    attempts: int
    fix: traces.Fix


class Outbox:
    """One phone's queue; `now` is any clock of seconds, the same for all calls."""

    def __init__(self, client: clients.Client, *, pause_factor: float = 1.0) -> None:
        self._client = client
        self._pause_factor = pause_factor
        self._waiting: collections.deque[traces.Fix] = collections.deque()
        self._jobs: list[_Job] = []
        self._pieces: list[list[traces.Fix]] = []
        self._aside: list[traces.Fix] = []
        self._out: list[traces.Fix] = []
        self._attempts = 0
        self._newest: traces.Fix | None = None
        self._failures = 0
        self._rests_until = _ANY_TIME
        self._numbers = itertools.count()
        self.dropped: list[Dropped] = []

    def __len__(self) -> int:
        """Fixes that the app still has."""
        halves = sum(len(piece) for piece in self._pieces) + len(self._aside)
        return len(self._waiting) + len(self._jobs) + len(self._out) + halves

    @property
    def due_at(self) -> float:
        """When there is something to take; infinity while there is nothing."""
        if self._pieces or self._waiting:
            return self._rests_until
        return self._jobs[0].due_at if self._jobs else math.inf

    def add(self, fixes: Iterable[traces.Fix]) -> None:
        """Queues what was recorded, in the order of recording."""
        client = self._client
        for fix in fixes:
            if client.most_queued is not None and len(self) >= client.most_queued:
                lost = fix if client.drops_when_full == "newest" else self._waiting.popleft()
                self.dropped.append(Dropped(lost, None))
                if lost is fix:
                    continue
            self._waiting.append(fix)
            self._newest = fix
            if client.is_woken_by_fix:
                self._rests_until = _ANY_TIME

    def take(self, now: float) -> dialects.Parcel | None:
        """What the next request carries; None while nothing is due. One request at a time."""
        if self.due_at > now:
            return None
        most, waiting, self._attempts = self._client.most_fixes, self._waiting, 0
        is_backlog = len(waiting) > most
        if self._pieces:
            self._out = self._pieces.pop()
        elif self._jobs and self._jobs[0].due_at <= now:
            job = heapq.heappop(self._jobs)
            self._out, self._attempts = [job.fix], job.attempts
        else:
            self._out = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        current = self._newest if self._client.sends_current and is_backlog else None
        return dialects.Parcel(self._out, current)

    def answered(self, answer: answers.Answer | None, now: float) -> answers.Fate:
        """Follows the rules for what was taken last."""
        out, self._out = self._out, []
        fate = self._client.judge(answer)
        match fate:
            case "taken":
                self._failures = 0
            case "dropped":
                self._failures = 0
                self.dropped += [Dropped(fix, answer) for fix in out]
            case "halved":
                half = len(out) // 2
                self._aside += out if not half else []
                self._pieces += [out[half:], out[:half]] if half else []
            case "kept" | "hopeless":
                (self._rest if self._client.is_in_order else self._try_later)(out, answer, now)
            case _:
                assert_never(fate)
        if self._aside and not self._pieces and not self._waiting:
            self._rest([], answer, now)
        return fate

    def _rest(self, out: list[traces.Fix], answer: answers.Answer | None, now: float) -> None:
        """All that this pass was about is at the head again, for after a pause."""
        self._failures += 1
        self._rests_until = now + self._pause_seconds(self._failures, answer)
        pieces = itertools.chain.from_iterable(reversed(self._pieces))
        self._waiting.extendleft(reversed([*self._aside, *out, *pieces]))
        self._aside, self._pieces = [], []

    def _try_later(self, out: list[traces.Fix], answer: answers.Answer | None, now: float) -> None:
        """Each by itself, unless it was tried often enough."""
        attempts = self._attempts + 1
        if attempts == self._client.most_attempts:
            self.dropped += [Dropped(fix, answer) for fix in out]
            return
        due_at = now + self._pause_seconds(attempts, answer)
        for fix in out:
            heapq.heappush(self._jobs, _Job(due_at, next(self._numbers), attempts, fix))

    def _pause_seconds(self, failures: int, answer: answers.Answer | None) -> float:
        seconds = self._client.pause_seconds(failures, answer) * self._pause_factor
        return seconds * (1 - self._client.jitter * random.random())  # noqa: S311  # no secret
