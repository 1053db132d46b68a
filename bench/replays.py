"""What phones with apps send again and again: their own fixes in order, as each app writes them."""

from __future__ import annotations

from collections.abc import Sequence

from bench import backlog, bodies, dialects


class Messages:
    """One way to send, each phone in turn and each with its next fixes: no key comes twice."""

    def __init__(
        self, dialect: dialects.Dialect, tokens: Sequence[str], *, port: int, start_ms: int
    ) -> None:
        self._dialect = dialect
        self._token = tokens[0]
        self._credentials = [dialect.credential(one).encode() for one in tokens]
        self._port = port
        self._start_ms = start_ms
        self._turns: dict[int, list[bytes]] = {}

    def request(self, number: int) -> bytes:
        """Requests of the same turn hold the same instants; the phone makes them unique."""
        turn, at = divmod(number, len(self._credentials))
        parts = self._turns.get(turn)
        if parts is None:
            instants_ms = bodies.backlog_ms(self._start_ms, turn, self._dialect.pings)
            parts = self._turns[turn] = self._dialect.parts(
                instants_ms, port=self._port, token=self._token
            )
        return self._credentials[at].join(parts)


class Replays:
    """As many fixes of each phone, one per request, in the ways of sending in turn."""

    def __init__(
        self,
        ways: Sequence[dialects.Dialect],
        tokens: Sequence[str],
        *,
        port: int,
        pings: int,
        start_ms: int,
    ) -> None:
        self.phones = len(tokens)
        self.each = pings
        self.all_pings = pings * len(tokens)
        self._ways = ways
        self._messages = [Messages(way, tokens, port=port, start_ms=start_ms) for way in ways]

    def pings(self, _phone: int, part: int) -> int:
        """One in each of as many requests."""
        return int(part < self.each)

    def request(self, phone: int, part: int) -> bytes:
        """The phone's fix of this number."""
        return self._messages[phone % len(self._ways)].request(phone + part * self.phones)

    def settled(self, phone: int, _part: int, tail: bytes) -> backlog.Settled | None:
        """Apps are not told whether it was there before."""
        is_taken = tail.endswith(self._ways[phone % len(self._ways)].ending)
        return backlog.Settled(1, 0) if is_taken else None


class Resends:
    """Each phone sends all that it has, from its first fix to its last, over and over."""

    def __init__(self, kept: Replays) -> None:
        self._kept = kept
        self._next = [0] * kept.phones

    def request(self, number: int) -> bytes:
        """The next of the phone with this number."""
        part = self._next[number]
        self._next[number] = (part + 1) % self._kept.each
        return self._kept.request(number, part)
