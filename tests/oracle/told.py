"""What phones were told: each answer, and each ping by what was said of it."""

from __future__ import annotations

import collections
import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

# Student, timestamp, device: what makes a ping itself.
Key: TypeAlias = tuple[int, datetime.datetime, int]


class Answer(NamedTuple):
    """One request's answer; the moments are time.monotonic()'s."""

    status: int
    sent_at: float
    answered_at: float
    closes: bool

    @property
    def is_final(self) -> bool:
        """The phone throws away what it sent: it is stored, or it will never be taken."""
        return self.status < 500 and self.status != 429


class Log:
    """The phones' side of the truth."""

    def __init__(self) -> None:
        self.ok: set[Key] = set()
        self.rejected: set[Key] = set()
        # Without a verdict at some time: not answered, or told to come again.
        self.doubted: set[Key] = set()
        # Sent although they can never be valid.
        self.invalid: set[Key] = set()
        self.answers: list[Answer] = []
        # Pings by what was said of them: stored, duplicate, rejected, or the reason of the 503.
        self.said: collections.Counter[str] = collections.Counter()
        self.cut = 0
        self.refused = 0

    @property
    def unknown(self) -> set[Key]:
        """Nobody can say of these whether they are stored."""
        return self.doubted - self.ok - self.rejected

    def count(self, status: int, *, since: float = float("-inf")) -> int:
        """Answers with this status to requests sent since a moment."""
        return sum(1 for one in self.answers if one.status == status and one.sent_at >= since)

    def answered(self, keys: Sequence[Key], answer: Answer, body: dict[str, Any]) -> None:
        """An answer came: with 200 each of its pings is stored, now or before, or rejected."""
        self.answers.append(answer)
        if answer.status != 200:
            # A batch that failed in doubt may be there: 503 promises nothing.
            self.said[body["reason"]] += len(keys)
            (self.rejected if answer.is_final else self.doubted).update(keys)
            return
        rejected = {keys[one["index"]] for one in body["rejected"]}
        said = {"stored": body["stored"], "duplicate": body["duplicate"], "rejected": len(rejected)}
        assert sum(said.values()) == body["received"] == len(keys), body
        self.said.update(said)
        self.rejected |= rejected
        self.ok.update(key for key in keys if key not in rejected)

    def unanswered(self, keys: Sequence[Key], *, cut: bool) -> None:
        """No answer came: stored or not, nobody can say. `cut`: on a connection that was there."""
        self.doubted.update(keys)
        self.cut += cut
        self.refused += not cut
