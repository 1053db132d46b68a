"""received = stored + duplicate + rejected + refused + failed + queued, whatever happens in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from prometheus_client import Counter
from typing_extensions import override

from geoingest import errors, metrics, ping
from geoingest.ingest import batcher, content, overload, rows, submission
from tests import test_ping

_LIMITS = overload.Limits(
    queue_pings=14, queue_bytes=80, queue_age_seconds=9.0, batch_pings=6, busy_wait_seconds=4.0
)
_REASONS: list[ping.Reason] = ["malformed", "too_old"]
_MOST_LANES = 2
# Enough turns of the loop for everything that can happen now to have happened.
_TURNS = 10


class Table:
    """The writer's far side: rows by key, and for each write the end that the machine chose."""

    def __init__(self) -> None:
        self.rows: set[rows.Key] = set()
        self.writing = 0
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def write(self, batch: Sequence[submission.Submission]) -> submission.Outcome:
        self.writing += 1
        try:
            end = await self.ends.get()
        finally:
            self.writing -= 1
        if end == "failed":
            raise errors.WriteFailedError
        keys = [row[rows.KEY] for one in batch for row in one.decoded.pings]
        bad = set(keys[:1] if end == "unstorable" else ()) - self.rows
        new = set(keys) - self.rows - bad
        self.rows |= new
        if end == "in doubt":
            raise errors.WriteFailedError
        if end == "bug":
            raise ZeroDivisionError
        if len(new) == len(keys):
            return submission.Outcome()
        return submission.Outcome(new, dict.fromkeys(bad, "unstorable"))


class Conservation(RuleBasedStateMachine):
    """Phones post and hang up, lanes come and go, writes end well and badly, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.seconds = 0.0
        self.queue = batcher.Batcher(_LIMITS, now=lambda: self.seconds)
        self.table = Table()
        self.lanes: list[asyncio.Task[None]] = []
        self.posted: list[tuple[content.Decoded, asyncio.Future[submission.Verdict]]] = []
        self.counted_before = _counted()

    @precondition(lambda self: len(self.lanes) < _MOST_LANES)
    @rule()
    def connect_lane(self) -> None:
        self._step(lambda: self.lanes.append(asyncio.create_task(self._lane())))

    @precondition(lambda self: self.lanes)
    @rule()
    def lose_lane(self) -> None:
        self._step(self.lanes[0].cancel)

    @rule(
        numbers=st.lists(st.integers(0, 9), max_size=6),
        rejected=st.lists(st.sampled_from(_REASONS), max_size=2),
    )
    def post(self, numbers: list[int], rejected: list[ping.Reason]) -> None:
        taken = [test_ping.encoded(number) for number in numbers]
        rejects = [content.Rejected(0, reason, b"", 7, 0) for reason in rejected]
        decoded = content.Decoded(len(taken) + len(rejects), taken, rejects)

        def submit() -> None:
            with contextlib.suppress(errors.OverloadedError, errors.DatabaseUnavailableError):
                self.queue.check(decoded.received, 7 * decoded.received)
                future = asyncio.get_running_loop().create_future()
                self.queue.submit(decoded, 7 * decoded.received, future)
                self.posted.append((decoded, future))

        self._step(submit)

    @precondition(lambda self: self.posted)
    @rule(data=st.data())
    def hang_up(self, data: st.DataObject) -> None:
        _, future = data.draw(st.sampled_from(self.posted))
        self._step(future.cancel)

    @precondition(lambda self: self.table.writing)
    @rule(
        end=st.sampled_from(["committed", "committed", "unstorable", "failed", "in doubt", "bug"])
    )
    def end_write(self, end: str) -> None:
        self._step(lambda: self.table.ends.put_nowait(end))

    @rule()
    def time_passes(self) -> None:
        self.seconds += 5.0

    @invariant()
    def every_ping_is_in_exactly_one_place(self) -> None:
        received, *ended = (
            now - before for now, before in zip(_counted(), self.counted_before, strict=True)
        )
        assert received == sum(ended) + self.queue.pings

    @invariant()
    def what_was_answered_is_in_the_table(self) -> None:
        for decoded, future in self.posted:
            if not future.done() or future.cancelled() or future.exception():
                continue
            stored, duplicate, bad = future.result()
            acked = [row[rows.KEY] for at, row in enumerate(decoded.pings) if at not in bad]
            assert stored + duplicate == len(acked)
            assert self.table.rows.issuperset(acked)

    @override
    def teardown(self) -> None:
        for _ in range(_MOST_LANES):
            self._step(lambda: [lane.cancel() for lane in self.lanes])
        self.runner.close()
        self.every_ping_is_in_exactly_one_place()
        self.what_was_answered_is_in_the_table()
        assert self.queue.pings == 0
        assert all(future.done() for _, future in self.posted), "a sender waits for ever"

    def _step(self, act: Callable[[], object]) -> None:
        async def step() -> None:
            act()
            for _ in range(_TURNS):
                await asyncio.sleep(0)

        self.runner.run(step())
        self.lanes = [lane for lane in self.lanes if not lane.done()]

    async def _lane(self) -> None:
        # As lane.run does it.
        self.queue.open_lane()
        try:
            while True:
                await self.queue.flush(self.table.write)
        except ZeroDivisionError:
            pass
        finally:
            self.queue.close_lane()


def test_every_ping_is_accounted_for() -> None:
    """After each step the counters add up, and what was answered 200 is in the table."""
    run_state_machine_as_test(
        Conservation, settings=settings(deadline=None, max_examples=60, stateful_step_count=40)
    )


def _counted() -> list[float]:
    counters = (
        metrics.pings_received,
        metrics.pings_stored,
        metrics.pings_duplicate,
        metrics.pings_rejected,
        metrics.pings_refused,
        metrics.pings_failed,
    )
    return [_total(counter) for counter in counters]


def _total(counter: Counter) -> float:
    """Over all labels."""
    (family,) = counter.collect()
    return sum(one.value for one in family.samples if one.name.endswith("_total"))
