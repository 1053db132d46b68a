"""Behind every door: who is let in, what is decoded and queued, when that must wait."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence
from typing import NamedTuple, Protocol

from geoingest import errors, metrics, ping, rates
from geoingest.ingest import batcher, content, decode, fixes, submission

_DAY_US = 86_400_000_000


class Senders(Protocol):
    """The port to access: who a token belongs to, and which students there are."""

    @property
    def students(self) -> Container[int]: ...

    def sender(self, digest: bytes) -> ping.Sender | None:
        """None for an unknown or revoked token; StaleCredentialsError when that cannot be known."""
        ...

    def secret(self, device_id: int) -> bytes | None:
        """The key with which its messages are sealed; None for most devices."""
        ...


class Terms(NamedTuple):
    """What one request may hold, and how often a device may post."""

    detail_days: int
    max_future_seconds: float
    max_body_pings: int
    device_requests_per_second: float


class Intake:
    """What happens between a request's headers and the queue."""

    def __init__(self, senders: Senders, queue: batcher.Batcher, terms: Terms) -> None:
        self._terms = terms
        self._senders = senders
        self._queue = queue
        self._rates = rates.Rates(terms.device_requests_per_second)
        self._oldest_us = terms.detail_days * _DAY_US
        self._newest_us = round(terms.max_future_seconds * 1e6)

    @property
    def max_body_pings(self) -> int:
        """How many one request may hold."""
        return self._terms.max_body_pings

    def sender(self, digest: bytes) -> ping.Sender:
        """Whose token it is; UnauthenticatedError, or TooManyRequestsError for a greedy device."""
        sender = self._senders.sender(digest)
        if sender is None:
            raise errors.UnauthenticatedError
        wait_seconds = self._rates.wait_seconds(sender.device_id)
        if wait_seconds:
            raise errors.TooManyRequestsError(wait_seconds)
        return sender

    def secret(self, sender: ping.Sender) -> bytes | None:
        """The key with which the sender's messages are sealed, if it has one."""
        return self._senders.secret(sender.device_id)

    def check(self, pings: int, size_bytes: int) -> None:
        """Raises ServiceError at once when about so much more cannot be written soon."""
        self._queue.check(pings, size_bytes)

    def take(
        self, sender: ping.Sender, body: bytes, *, lines: bool, waiter: submission.Waiter
    ) -> content.Decoded:
        """Queues what the body holds; the waiter learns the verdict after the commit.

        Raises ServiceError at once, before it looks into the body, when it cannot be written soon.
        """
        self.check(decode.estimate(body, lines=lines), len(body))
        return self._submit(self.decode(sender, body, lines=lines), len(body), waiter)

    def take_items(
        self,
        sender: ping.Sender,
        items: Sequence[object],
        *,
        size_bytes: int,
        waiter: submission.Waiter,
    ) -> content.Decoded:
        """The same with pings that a protocol of an app has made JSON values of, and `check`ed."""
        return self._submit(fixes.decode(items, self._admission(sender)), size_bytes, waiter)

    def decode(self, sender: ping.Sender, body: bytes, *, lines: bool) -> content.Decoded:
        """What the body holds, as of now."""
        terms = self._admission(sender)
        return decode.decode(body, lines=lines, terms=terms, max_pings=self._terms.max_body_pings)

    def _submit(
        self, decoded: content.Decoded, size_bytes: int, waiter: submission.Waiter
    ) -> content.Decoded:
        if decoded.ignored:
            metrics.pings_ignored_fields.inc(len(decoded.ignored))
        self._queue.submit(decoded, size_bytes, waiter)
        return decoded

    def _admission(self, sender: ping.Sender) -> ping.Admission:
        now_us = time.time_ns() // 1000 - ping.EPOCH_UNIX_US
        return ping.Admission(
            sender,
            self._senders.students,
            now_us,
            now_us - self._oldest_us,
            now_us + self._newest_us,
        )
