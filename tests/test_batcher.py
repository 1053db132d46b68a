"""Requests wait together until a lane is free, and each learns what became of its own pings."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from geoingest import errors
from geoingest.ingest import batcher, content, overload, rows, submission
from tests import conftest, test_ping

_ROOMY = overload.Limits(
    queue_pings=1000,
    queue_bytes=1000,
    queue_age_seconds=60.0,
    batch_pings=1000,
    busy_wait_seconds=60.0,
)


class Disk:
    """A write that lasts until it is told how it ends."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.ends: asyncio.Queue[submission.Outcome | BaseException] = asyncio.Queue()

    async def __call__(self, batch: Sequence[submission.Submission]) -> submission.Outcome:
        self.batches.append([one.decoded.received for one in batch])
        end = await self.ends.get()
        if isinstance(end, BaseException):
            raise end
        return end


async def test_a_batch_gathers_while_the_lane_writes() -> None:
    """The first request is written at once and alone; those that came meanwhile go together."""
    queue, disk = batcher.Batcher(_ROOMY), Disk()
    async with _lane(queue, disk):
        first = _submit(queue, _pings(1), 10)
        await conftest.until(lambda: len(disk.batches) == 1)
        others = [_submit(queue, _pings(count), 10) for count in (2, 3, 4)]

        assert queue.pings == 10
        disk.ends.put_nowait(submission.Outcome())
        await first
        disk.ends.put_nowait(submission.Outcome())
        verdicts = await asyncio.gather(*others)

    assert disk.batches == [[1], [2, 3, 4]]
    assert [verdict.stored for verdict in verdicts] == [2, 3, 4]
    assert queue.pings == 0


@pytest.mark.parametrize(
    "limits", [_ROOMY._replace(queue_pings=10), _ROOMY._replace(queue_bytes=10)]
)
async def test_a_full_queue_refuses_at_once(limits: overload.Limits) -> None:
    """Up to the limit all are taken; what would pass it is refused, and room is free again later."""
    queue, disk = batcher.Batcher(limits), Disk()
    queue.open_lane()
    waiting = _submit(queue, _pings(6), 6)

    with pytest.raises(errors.OverloadedError):
        _submit(queue, _pings(5), 5).cancel()
    exactly = _submit(queue, _pings(4), 4)
    disk.ends.put_nowait(submission.Outcome())
    await queue.flush(disk)

    assert (waiting.result().stored, exactly.result().stored) == (6, 4)
    _submit(queue, _pings(10), 10).cancel()


async def test_pings_being_written_count_as_queued() -> None:
    """The limit is on what is in memory, also while the database hangs in the middle of a write."""
    queue, disk = batcher.Batcher(_ROOMY._replace(queue_pings=10)), Disk()
    async with _lane(queue, disk):
        writing = _submit(queue, _pings(8), 8)
        await conftest.until(lambda: bool(disk.batches))

        with pytest.raises(errors.OverloadedError):
            _submit(queue, _pings(3), 3).cancel()

        disk.ends.put_nowait(submission.Outcome())
        await writing


async def test_a_queue_whose_oldest_has_waited_too_long_refuses() -> None:
    """Age counts from the oldest request that waits, and an empty queue has none."""
    clock = [100.0]
    queue = batcher.Batcher(
        _ROOMY._replace(queue_age_seconds=1.0, busy_wait_seconds=1.0), now=lambda: clock[0]
    )
    queue.open_lane()
    clock[0] += 3600
    waiting = [_submit(queue, _pings(1), 1)]

    clock[0] += 1.0
    waiting.append(_submit(queue, _pings(1), 1))
    clock[0] += 0.01
    with pytest.raises(errors.OverloadedError):
        _submit(queue, _pings(1), 1).cancel()

    assert not any(one.done() for one in waiting)


async def test_without_a_connected_lane_nothing_is_taken() -> None:
    """Nobody waits for a database that is away."""
    queue = batcher.Batcher(_ROOMY)

    with pytest.raises(errors.DatabaseUnavailableError):
        _submit(queue, _pings(1), 1).cancel()

    assert queue.pings == 0


async def test_the_last_lane_to_close_fails_all_that_wait() -> None:
    """While another lane is open they go on waiting; after the last each one is told."""
    queue = batcher.Batcher(_ROOMY)
    queue.open_lane()
    queue.open_lane()
    waiting = [_submit(queue, _pings(1), 1) for _ in range(3)]

    queue.close_lane()
    assert not any(one.done() for one in waiting)
    queue.close_lane()

    assert [type(one.exception()) for one in waiting] == [errors.DatabaseUnavailableError] * 3
    assert queue.pings == 0


async def test_a_failed_write_is_told_to_every_sender() -> None:
    """Each gets an error of its own, and the lane goes on with the next batch."""
    queue, disk = batcher.Batcher(_ROOMY), Disk()
    queue.open_lane()
    waiting = [_submit(queue, _pings(1), 1) for _ in range(3)]
    disk.ends.put_nowait(errors.WriteFailedError("why"))
    await queue.flush(disk)
    told = [one.exception() for one in waiting]

    later = _submit(queue, _pings(1), 1)
    disk.ends.put_nowait(submission.Outcome())
    await queue.flush(disk)

    assert [repr(one) for one in told] == ["WriteFailedError('why')"] * 3
    assert len({id(one) for one in told}) == 3
    assert later.result().stored == 1


@pytest.mark.parametrize("is_being_written", [False, True])
async def test_a_sender_that_hangs_up_disturbs_nobody(is_being_written: bool) -> None:
    """Its pings are written all the same, and the others get their answers."""
    queue, disk = batcher.Batcher(_ROOMY), Disk()
    queue.open_lane()
    gone, other = _submit(queue, _pings(2), 1), _submit(queue, _pings(3), 1)
    lane = asyncio.create_task(queue.flush(disk))
    if is_being_written:
        await conftest.until(lambda: bool(disk.batches))

    gone.cancel()
    disk.ends.put_nowait(submission.Outcome())
    await lane

    assert disk.batches == [[2, 3]]
    assert other.result().stored == 3


@pytest.mark.parametrize("bug", [ZeroDivisionError(), asyncio.CancelledError()])
async def test_a_bug_in_a_write_leaves_no_sender_waiting(bug: BaseException) -> None:
    """The senders learn that nothing is certain, the owner of the lane learns of the bug."""
    queue, disk = batcher.Batcher(_ROOMY), Disk()
    queue.open_lane()
    waiting = [_submit(queue, _pings(1), 1) for _ in range(2)]
    disk.ends.put_nowait(bug)

    with pytest.raises(type(bug)):
        await queue.flush(disk)

    assert [type(one.exception()) for one in waiting] == [errors.WriteFailedError] * 2
    assert queue.pings == 0


async def test_a_batch_takes_whole_requests_up_to_its_limit() -> None:
    """Requests are never torn apart; one above the limit goes alone."""
    queue, disk = batcher.Batcher(_ROOMY._replace(batch_pings=4)), Disk()
    queue.open_lane()
    waiting = [_submit(queue, _pings(count), 1) for count in (2, 2, 1, 9, 4)]

    while queue.pings:
        disk.ends.put_nowait(submission.Outcome())
        await queue.flush(disk)

    assert disk.batches == [[2, 2], [1], [9], [4]]
    assert [one.result().stored for one in waiting] == [2, 2, 1, 9, 4]


async def test_two_lanes_write_at_the_same_time() -> None:
    """What does not fit into the first batch wakes the other lane; it does not wait for the first."""
    queue, disk = batcher.Batcher(_ROOMY._replace(batch_pings=2)), Disk()
    async with _lane(queue, disk), _lane(queue, disk):
        waiting = [_submit(queue, _pings(2), 1) for _ in range(2)]

        await conftest.until(lambda: disk.batches == [[2], [2]])

        for one in waiting:
            disk.ends.put_nowait(submission.Outcome())
            await one


@pytest.mark.parametrize("is_cancelled_first", [True, False])
async def test_a_lane_that_ends_in_the_same_moment_swallows_no_request(
    is_cancelled_first: bool,
) -> None:
    """A request that comes while an idle lane is being cancelled goes to the other lane."""
    queue, disk = batcher.Batcher(_ROOMY), Disk()
    queue.open_lane()
    ending = asyncio.create_task(queue.flush(disk))
    await asyncio.sleep(0)
    async with _lane(queue, disk):
        await asyncio.sleep(0)

        if is_cancelled_first:
            ending.cancel()
        waiting = _submit(queue, _pings(1), 1)
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        queue.close_lane()

        disk.ends.put_nowait(submission.Outcome())
        async with asyncio.timeout(5):
            assert (await waiting).stored == 1


async def test_each_request_learns_of_its_own_pings() -> None:
    """The first of several with one key stored it, the later ones are its duplicates."""
    key = [test_ping.encoded(number)[rows.KEY] for number in range(5)]
    outcome = submission.Outcome(stored={key[0], key[1], key[4]}, rejected={key[3]: "unstorable"})
    queue, disk = batcher.Batcher(_ROOMY), Disk()
    queue.open_lane()
    disk.ends.put_nowait(outcome)

    waiting = [_submit(queue, _pings(*numbers), 1) for numbers in ([0, 1, 0], [1, 2], [4, 3, 4, 3])]
    await queue.flush(disk)

    assert [tuple(map(_plain, one.result())) for one in waiting] == [
        (2, 1, []),  # its own repeat is a duplicate
        (0, 2, []),  # stored by the request before, and stored long ago
        (1, 1, [1, 3]),
    ]
    assert len(outcome.stored or ()) == 3


def _plain(value: object) -> object:
    return list(value) if isinstance(value, Mapping) else value


def _pings(*numbers: int) -> content.Decoded:
    """One request: so many pings, or these."""
    chosen = range(numbers[0]) if len(numbers) == 1 else numbers
    pings = [test_ping.encoded(number) for number in chosen]
    return content.Decoded(len(pings), pings)


def _submit(
    queue: batcher.Batcher, decoded: content.Decoded, size_bytes: int
) -> asyncio.Future[submission.Verdict]:
    """Checks, then submits, as the intake does; what comes back waits for the verdict."""
    queue.check(decoded.received, size_bytes)
    waiter: asyncio.Future[submission.Verdict] = asyncio.get_running_loop().create_future()
    queue.submit(decoded, size_bytes, waiter)
    return waiter


@contextlib.asynccontextmanager
async def _lane(queue: batcher.Batcher, write: batcher.Write) -> AsyncIterator[None]:
    async def run() -> None:
        while True:
            await queue.flush(write)

    queue.open_lane()
    task = asyncio.create_task(run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        queue.close_lane()
