"""The judge finds each kind of broken promise, and nothing where all were kept."""

from __future__ import annotations

import collections
import datetime

import pytest

from tests.oracle import counted, judge, stored, told

_AT = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
A: told.Key = (1, _AT, 7)
B: told.Key = (2, _AT, 7)
BAD: told.Key = (3, _AT, 7)
DOUBTED: told.Key = (4, _AT, 7)
OK = told.Answer(200, 0.0, 0.1, False)
REFUSED = told.Answer(503, 0.0, 0.1, True)
COUNTED = counted.Counted(
    received=6, stored=1, duplicate=1, rejected=1, refused=1, failed=2, queued=0
)


@pytest.fixture
def log() -> told.Log:
    """Six pings were sent: A, B and one that is bad together, two in doubt, and B was refused first."""
    made = told.Log()
    made.invalid.add(BAD)
    made.answered([B], REFUSED, {"reason": "overloaded"})
    made.answered([DOUBTED, DOUBTED], REFUSED, {"reason": "write_failed"})
    rejected = [{"index": 2, "reason": "latitude_out_of_range"}]
    body = {"received": 3, "stored": 1, "duplicate": 1, "rejected": rejected}
    made.answered([A, B, BAD], OK, body)
    return made


def _stored(*keys: told.Key, quarantined: int = 1) -> stored.Stored:
    return stored.Stored(collections.Counter(keys), quarantined)


@pytest.mark.parametrize("there", [_stored(A, B), _stored(A, B, DOUBTED, quarantined=2)])
def test_kept_promises_give_no_findings(log: told.Log, there: stored.Stored) -> None:
    """What is in doubt may be stored or not, and what was cut may be quarantined twice."""
    assert not any(judge.find(log, there, COUNTED))
    assert log.unknown == {DOUBTED}


def test_an_acknowledged_ping_that_is_gone_is_lost(log: told.Log) -> None:
    """Nothing else is wrong with it."""
    assert _broken(log, _stored(A)) == {"lost": {B}}


def test_a_row_that_is_there_twice_is_found(log: told.Log) -> None:
    """Whether it was acknowledged or in doubt."""
    found = _broken(log, _stored(A, B, B, DOUBTED, DOUBTED))

    assert found == {"doubled": {B, DOUBTED}}


def test_a_row_that_nobody_sent_is_found(log: told.Log) -> None:
    """The table holds nothing of its own."""
    stranger = (5, _AT, 7)

    assert _broken(log, _stored(A, B, stranger)) == {"unsent": {stranger}}


def test_a_rejected_ping_in_the_table_is_found(log: told.Log) -> None:
    """A bad one was then taken, too."""
    found = _broken(log, _stored(A, B, BAD))

    assert found == {"rejected_yet_stored": {BAD}, "wrongly_taken": {BAD}}


def test_a_bad_ping_that_was_acknowledged_is_found(log: told.Log) -> None:
    """Though it is not stored."""
    log.invalid.add(A)

    assert _broken(log, _stored(A, B)) == {"wrongly_taken": {A}}


def test_a_rejection_without_a_fault_is_found(log: told.Log) -> None:
    """Its phone throws a good ping away."""
    log.invalid.clear()

    assert _broken(log, _stored(A, B)) == {"wrongly_rejected": {BAD}}


def test_a_request_rejected_as_a_whole_is_found(log: told.Log) -> None:
    """At a 4xx a phone throws away all of it, whether it is stored or not."""
    lost, kept = (5, _AT, 7), (6, _AT, 7)
    log.answered([lost, kept], OK._replace(status=422), {"reason": "write_failed"})

    found = _broken(log, _stored(A, B, kept, quarantined=3))

    assert found == {"rejected_yet_stored": {kept}, "wrongly_rejected": {lost, kept}}


def test_a_device_that_is_told_to_wait_is_in_doubt(log: told.Log) -> None:
    """A 429 is no verdict: its pings come again."""
    waiting = (5, _AT, 7)
    log.answered([waiting], OK._replace(status=429), {"reason": "too_many_requests"})

    assert not any(judge.find(log, _stored(A, B)))
    assert log.unknown == {DOUBTED, waiting}


def test_a_rejected_ping_that_is_not_in_quarantine_is_found(log: told.Log) -> None:
    """A rejection leaves something to look at."""
    found = judge.find(log, _stored(A, B, quarantined=0))

    assert found.miscounted == ("1 rejected, 0 in quarantine",)


@pytest.mark.parametrize(
    "word", ["received", "stored", "duplicate", "rejected", "refused", "failed", "queued"]
)
def test_a_ping_that_is_not_accounted_for_is_found(log: told.Log, word: str) -> None:
    """received = stored + duplicate + rejected + refused + failed + queued, without exception."""
    wrong = COUNTED._replace(**{word: getattr(COUNTED, word) + 1})

    assert _broken(log, _stored(A, B), wrong).keys() == {"miscounted"}


@pytest.mark.parametrize("word", ["stored", "duplicate", "rejected", "refused", "failed"])
def test_a_counter_that_contradicts_the_phones_is_found(log: told.Log, word: str) -> None:
    """Even where the sum is right: one more of this, one less received elsewhere."""
    more = COUNTED._replace(**{word: getattr(COUNTED, word) + 1, "received": COUNTED.received + 1})
    less = COUNTED._replace(**{word: getattr(COUNTED, word) - 1, "received": COUNTED.received - 1})

    assert _broken(log, _stored(A, B), more).keys() == {"miscounted"}
    assert _broken(log, _stored(A, B), less).keys() == {"miscounted"}


def test_of_a_cut_request_the_service_may_know_more(log: told.Log) -> None:
    """More than was told is right then, less never is."""
    log.unanswered([DOUBTED], cut=True)
    more = COUNTED._replace(received=7, stored=2)
    less = COUNTED._replace(received=5, stored=0)

    assert not any(judge.find(log, _stored(A, B, DOUBTED), more))
    assert _broken(log, _stored(A, B, DOUBTED), less).keys() == {"miscounted"}


def test_counters_are_summed_over_their_labels() -> None:
    """As /metrics shows them."""
    samples = {
        "geoingest_pings_received_total": 7.0,
        "geoingest_pings_stored_total": 1.0,
        'geoingest_pings_rejected_total{reason="too_old"}': 1.0,
        'geoingest_pings_rejected_total{reason="malformed"}': 2.0,
        "geoingest_pings_received_created": 1.7e9,
        "geoingest_queue_pings": 3.0,
    }

    found = counted.read(samples)

    assert (found.received, found.stored, found.rejected, found.queued) == (7, 1, 3, 3)
    assert found.missing == 0


def _broken(
    log: told.Log, there: stored.Stored, service: counted.Counted | None = None
) -> dict[str, object]:
    """Only what was found."""
    findings = judge.find(log, there, service)._asdict()
    return {name: found for name, found in findings.items() if found}
