"""The door of our own protocol: POST /v1/pings."""

from __future__ import annotations

import functools

from aiohttp import hdrs

from geoingest import errors, http, ping
from geoingest.ingest import answers, door, intake, posted, submission

PATH = "/v1/pings"
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class Pings:
    """JSON or NDJSON with a bearer token; the answer tells what became of each ping."""

    route = PATH
    paths = (PATH,)
    methods = frozenset({hdrs.METH_POST})
    late = errors.BodyTimeoutError

    def __init__(self, takes: intake.Intake) -> None:
        self._intake = takes

    def enter(self, given: posted.Posted) -> ping.Sender:
        """UnauthenticatedError without a token that is known."""
        digest = given.bearer_digest()
        if digest is None:
            raise errors.UnauthenticatedError
        return self._intake.sender(digest)

    def take(
        self, sender: ping.Sender | None, given: posted.Posted, waiter: submission.Waiter
    ) -> door.Reply:
        """Answers once every accepted ping of the body is committed."""
        assert sender is not None  # noqa: S101  # nobody else has entered
        lines = given.content_type in _LINES
        decoded = self._intake.take(sender, given.body, lines=lines, waiter=waiter)
        return door.Reply(http.JSON, functools.partial(answers.encode, decoded))

    def take_unread(
        self, sender: ping.Sender | None, given: posted.Posted, waiter: submission.Waiter
    ) -> door.Reply:
        """BodyTooLargeError: our own phones send smaller pieces then."""
        del sender, given, waiter
        raise errors.BodyTooLargeError
