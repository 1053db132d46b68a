"""Phones that come and go, as a school's do: at each bell all are gone for a moment."""

from __future__ import annotations

import asyncio
import collections
import random

from typing_extensions import override

from bench import bodies, phones, stream


class Fleet(stream.Run):
    """A stream whose phones are away at first; each that comes posts what it has kept meanwhile."""

    def __init__(
        self, posts: stream.Stream, kept: bodies.Requests, *, host: str, port: int
    ) -> None:
        super().__init__(posts, host=host, port=port)
        self._kept = kept
        numbers = list(range(posts.sockets))
        random.Random(8).shuffle(numbers)
        self._away = collections.deque(numbers)
        self._visits = [0] * posts.sockets
        # They were busy when they left, or the loop has not told us yet that they are closed.
        self._leaving: set[phones.Phone] = set()

    def come(self, due: float) -> None:
        """The phone that is away the longest connects; its latency counts from here."""
        self._under_way += 1
        self._start(self._arrive(phones.Phone(self, self._away.popleft()), due))

    def leave(self, _due: float) -> None:
        """The phone that rests the longest goes, once its answer is there."""
        phone = self._order.popleft()
        self._away.append(phone.number)
        self._leaving.add(phone)
        if phone.is_free:
            phone.close()

    @override
    def answered(self, phone: phones.Phone, status: int, tail: bytes) -> None:
        super().answered(phone, status, tail)
        if phone in self._leaving and phone.is_free:
            phone.close()

    @override
    def lost(self, phone: phones.Phone) -> None:
        if phone not in self._leaving or phone.due is not None:
            super().lost(phone)
        self._leaving.discard(phone)

    async def _arrive(self, phone: phones.Phone, due: float) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: phone, self._host, self._port
            )
        except OSError:
            self._away.append(phone.number)
            self._errors += 1
            self._end_one()
            return
        visit = self._visits[phone.number]
        self._visits[phone.number] += 1
        phone.send(self._kept.request(visit * len(self._visits) + phone.number), due)
        self._order.append(phone)
