"""Passwords: which ones are taken, and their slow hash, made in two threads of low priority behind a short queue.

argon2id is slow on purpose: 7 MiB and some 15 ms of a core. So it never runs on the event loop, and in the
threads the library lets go of the interpreter; they come behind everything else that wants the cores, and
whoever would wait for long is refused at once.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import secrets
import sys
import threading
import time
import unicodedata
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import argon2

from geoingest import errors, metrics

T = TypeVar("T")

# NIST SP 800-63B-4, 3.1.1.2: where nothing but the password is asked for.
LEAST_LETTERS = 15
# So that nobody has megabytes hashed; whoever generates passwords is content with less.
MOST_BYTES = 1024
_LEAST_DIFFERENT = 6
# The least that OWASP's Password Storage Cheat Sheet allows, of five that it says are equally good: 7 MiB, five passes,
# one lane. It takes a quarter less of our cores than 19 MiB with two passes, and less of their caches.
_hasher = argon2.PasswordHasher(time_cost=5, memory_cost=7 * 1024, parallelism=1)
_THREADS = 2
_MOST_WAITING_SECONDS = 0.1
# Of the cost of one in the mean of all: some dozen back.
_NEWEST_SHARE = 0.1
# A guess between two harms: with 0 hashes are in the event loop's way on busy cores, with 19 one takes 0.3 s
# there. `bench login` says what comes of it.
_NICENESS = 5


class Verdict(NamedTuple):
    """Whether a password was right, and its hash by today's parameters where the kept one is older."""

    is_right: bool
    rehashed: str | None = None


class Passwords:
    """The threads, and who waits for them."""

    def __init__(self) -> None:
        started = time.perf_counter()
        # What nobody knows; whoever is not there is checked against it, and takes as long.
        self._nobodys = _hasher.hash(secrets.token_urlsafe())
        self._mean_seconds = time.perf_counter() - started
        self._under_way = 0
        self._threads = concurrent.futures.ThreadPoolExecutor(
            _THREADS, thread_name_prefix="passwords", initializer=_come_behind
        )

    @property
    def waiting_seconds(self) -> float:
        """How long the next would wait for a thread, by what others cost."""
        return self._under_way * self._mean_seconds / _THREADS

    @property
    def most_waiting_seconds(self) -> float:
        """Nobody is taken who would wait for longer."""
        return _MOST_WAITING_SECONDS

    def require_room(self) -> None:
        """OverloadedError when whoever came now would wait for too long; nobody does while a thread is free."""
        if self._under_way >= _THREADS and self.waiting_seconds > _MOST_WAITING_SECONDS:
            raise errors.OverloadedError

    async def verify(self, password_hash: str | None, password: str) -> Verdict:
        """Whether it is this one; with None, for which there is none, no, after the same time.

        OverloadedError.
        """
        kept = self._nobodys if password_hash is None else password_hash
        verdict = await self._run(lambda: _verify(kept, password))
        return verdict if password_hash is not None else Verdict(is_right=False)

    async def hash(self, password: str) -> str:
        """What may be kept of it; OverloadedError."""
        return await self._run(lambda: hash_now(password))

    def close(self) -> None:
        """Nobody waits any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        self.require_room()
        self._under_way += 1
        try:
            result, seconds = await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: _timed(work)
            )
        finally:
            self._under_way -= 1
        self._mean_seconds += _NEWEST_SHARE * (seconds - self._mean_seconds)
        metrics.password_duration.observe(seconds)
        return result


def hash_now(password: str) -> str:
    """The same for a command, which has nobody else to look after."""
    return _hasher.hash(normalised(password))


def normalised(password: str) -> str:
    """As it is hashed: a letter with its accent may be typed as one sign or as two, by the keyboard.

    NFC, as RFC 8265 has it for passwords: unlike NFKC it makes no two that look different the same.
    """
    return unicodedata.normalize("NFC", password)


def fault(password: str, email: str) -> str | None:
    """What is wrong with a new one, in words for whoever chose it; length counts, not kinds of letters."""
    letters = normalised(password)
    if len(letters) < LEAST_LETTERS:
        return f"at least {LEAST_LETTERS} letters: some words are easy to keep in mind"
    if len(letters.encode()) > MOST_BYTES:
        return f"at most {MOST_BYTES} bytes"
    if len(set(letters)) < _LEAST_DIFFERENT:
        return f"at least {_LEAST_DIFFERENT} different letters"
    name = email.partition("@")[0]
    if len(name) >= _LEAST_DIFFERENT and name in letters.lower():
        return "without the e-mail address"
    return None


def _verify(kept: str, password: str) -> Verdict:
    try:
        _hasher.verify(kept, normalised(password))
    except argon2.exceptions.VerifyMismatchError:
        return Verdict(is_right=False)
    is_old = _hasher.check_needs_rehash(kept)
    return Verdict(is_right=True, rehashed=hash_now(password) if is_old else None)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _come_behind() -> None:
    """On Linux a thread has a niceness of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
