"""A door: an address to which phones post, and how they are let in and answered there.

connection.py and endpoints.py bring what was posted to a door and its answer back to the phone;
what is known of a protocol stands behind the door alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from geoingest import errors, ping
from geoingest.ingest import posted, submission

# Of a request that holds nothing to store.
NOTHING = submission.Verdict(0, 0)


class Reply(NamedTuple):
    """How a request that was let in will be answered; `is_due` at once, with the verdict NOTHING."""

    content_type: str
    encode: Callable[[submission.Verdict], bytes]
    is_due: bool = False


class Door(Protocol):
    """One address."""

    @property
    def route(self) -> str:
        """Its name in the metrics."""
        ...

    @property
    def paths(self) -> Sequence[str]:
        """What it answers to."""
        ...

    @property
    def methods(self) -> Collection[str] | None:
        """None: any."""
        ...

    @property
    def late(self) -> type[errors.HttpError]:
        """What a phone hears whose body does not come in time."""
        ...

    def enter(self, given: posted.Posted) -> ping.Sender | None:
        """Whose it is, by its headers; None when that stands within. Raises HttpError."""
        ...

    def take(
        self, sender: ping.Sender | None, given: posted.Posted, waiter: submission.Waiter
    ) -> Reply:
        """Queues what was posted; the waiter learns the verdict. Raises HttpError."""
        ...

    def take_unread(
        self, sender: ping.Sender | None, given: posted.Posted, waiter: submission.Waiter
    ) -> Reply:
        """The same where the body was too large to be read."""
        ...


Doors: TypeAlias = Mapping[str, Door]
