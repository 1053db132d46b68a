"""What a phone has recorded and not yet got rid of, by the rules of its app.

1. take() hands out what the next request carries; nothing while the app pauses.
2. Whatever comes back, answered() decides: forgotten, or in the queue again and a pause.
3. An app that halves splits what was refused until one fix is left, lays that aside and goes on; when
   nothing else is left, what lies aside is queued again and the app pauses.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterable
from typing import NamedTuple, assert_never

from geoingest.local import clients, dialects, traces

_ANY_TIME = -math.inf


class Dropped(NamedTuple):
    """A fix that the app threw away, and the answer that made it; None where none came."""

    fix: traces.Fix
    answer: clients.Answer | None


class _Entry(NamedTuple):
    # In the order in which entries leave.
    due_at: float
    number: int
    attempts: int
    fix: traces.Fix


class Outbox:
    """One phone's queue; `now` is any clock of seconds, the same for all calls."""

    def __init__(self, client: clients.Client, *, pause_factor: float = 1.0) -> None:
        self._client = client
        self._pause_factor = pause_factor
        self._entries: list[_Entry] = []
        self._pieces: list[list[_Entry]] = []
        self._aside: list[_Entry] = []
        self._out: list[_Entry] = []
        self._added = 0
        self._newest: traces.Fix | None = None
        self._failures = 0
        self._rests_until = _ANY_TIME
        self.dropped: list[Dropped] = []

    def __len__(self) -> int:
        """Fixes that the app still has."""
        pieces = sum(len(piece) for piece in self._pieces)
        return len(self._entries) + len(self._aside) + len(self._out) + pieces

    @property
    def due_at(self) -> float:
        """When there is something to take; infinity while there is nothing."""
        if self._pieces:
            return self._rests_until
        return max(self._rests_until, self._entries[0].due_at) if self._entries else math.inf

    def add(self, fixes: Iterable[traces.Fix]) -> None:
        """Queues what was recorded, in the order of recording."""
        for fix in fixes:
            if len(self) == self._client.most_queued:
                if self._client.drops_when_full == "newest":
                    self.dropped.append(Dropped(fix, None))
                    continue
                self.dropped.append(Dropped(heapq.heappop(self._entries).fix, None))
            heapq.heappush(self._entries, _Entry(_ANY_TIME, self._added, 0, fix))
            self._added += 1
            self._newest = fix
            if self._client.is_woken_by_fix:
                self._rests_until = _ANY_TIME

    def take(self, now: float) -> dialects.Parcel | None:
        """What the next request carries; None while nothing is due. One request at a time."""
        if self.due_at > now:
            return None
        is_backlog = len(self._entries) > self._client.most_fixes
        self._out = self._pieces.pop() if self._pieces else self._due(now)
        current = self._newest if self._client.sends_current and is_backlog else None
        return dialects.Parcel([entry.fix for entry in self._out], current)

    def answered(self, answer: clients.Answer | None, now: float) -> clients.Fate:
        """Follows the rules for what was taken last."""
        out, self._out = self._out, []
        fate = self._client.judge(answer)
        match fate:
            case "taken":
                self._failures = 0
            case "dropped":
                self._failures = 0
                self.dropped += [Dropped(entry.fix, answer) for entry in out]
            case "halved":
                half = len(out) // 2
                self._aside += out if not half else []
                self._pieces += [out[half:], out[:half]] if half else []
            case "kept" | "hopeless":
                self._keep(out, answer, now)
            case _:
                assert_never(fate)
        if self._aside and not self._pieces and not self._entries:
            self._keep([], answer, now)
        return fate

    def _due(self, now: float) -> list[_Entry]:
        due: list[_Entry] = []
        while self._entries and len(due) < self._client.most_fixes:
            if self._entries[0].due_at > now:
                break
            due.append(heapq.heappop(self._entries))
        return due

    def _keep(self, out: list[_Entry], answer: clients.Answer | None, now: float) -> None:
        """Queues all again that this pass was about, at the earliest after a pause."""
        client = self._client
        if client.is_in_order:
            self._failures += 1
            self._rests_until = now + self._pause_seconds(self._failures, answer)
            for entry in (*out, *self._aside, *(one for piece in self._pieces for one in piece)):
                heapq.heappush(self._entries, entry)
            self._aside, self._pieces = [], []
            return
        for entry in out:
            attempts = entry.attempts + 1
            if attempts == client.most_attempts:
                self.dropped.append(Dropped(entry.fix, answer))
                continue
            due_at = now + self._pause_seconds(attempts, answer)
            heapq.heappush(self._entries, entry._replace(attempts=attempts, due_at=due_at))

    def _pause_seconds(self, failures: int, answer: clients.Answer | None) -> float:
        seconds = self._client.pause_seconds(failures, answer) * self._pause_factor
        return seconds * (1 - self._client.jitter * random.random())  # noqa: S311  # no secret
