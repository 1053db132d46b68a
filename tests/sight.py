"""Whom a viewer sees, and since when: by a model, and by the rule in the database."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import psycopg

from tests import towns


def seen(
    town: towns.Town,
    bearer: towns.Bearer,
    among: Collection[int] | None,
    now: towns.Clock,
) -> dict[int, datetime.datetime]:
    """The model: whom this bearer sees, and since when."""
    if not _is_let_in(town, bearer):
        return {}
    asked = set(towns.STUDENTS if among is None else among)
    shared_since = towns.ALWAYS
    if bearer.share_id:
        shared_since = now.shared_since
        asked &= {town.shares[bearer.share_id - 1].student_id}
    reasons = {
        student_id: _since(town, bearer.viewer_id, student_id, now)
        for student_id, student in enumerate(town.students, start=1)
        if student_id in asked and not student.is_erased
    }
    return {
        student_id: max(shared_since, min(since)) for student_id, since in reasons.items() if since
    }


def _is_let_in(town: towns.Town, bearer: towns.Bearer) -> bool:
    """The viewer is there, and so are the session and the share, if any, and both are its own."""
    by_number = dict(enumerate(town.viewers, start=1))
    viewer = by_number.get(bearer.viewer_id)
    session = town.sessions[bearer.session_id - 1] if bearer.session_id else None
    share = town.shares[bearer.share_id - 1] if bearer.share_id else None
    return (
        (viewer is not None and not viewer.is_revoked)
        and (session is None or session == (bearer.viewer_id, towns.FUTURE, False))
        and (share is None or share == (bearer.viewer_id, share.student_id, towns.FUTURE, False))
    )


def _since(
    town: towns.Town, viewer_id: int, student_id: int, now: towns.Clock
) -> list[datetime.datetime]:
    """Since when, for each reason that there is to see this student."""
    if town.viewers[viewer_id - 1].sees_all:
        return [towns.ALWAYS]
    student = town.students[student_id - 1]
    since = [
        towns.ALWAYS
        for scope in town.scopes
        if scope.viewer_id == viewer_id
        and scope.school_id == student.school_id
        and scope.class_id in (None, student.class_id)
    ]
    for one in town.guardianships:
        if one[:2] != (viewer_id, student_id) or one[2:5] != (
            towns.PAST,
            towns.FUTURE,
            towns.FUTURE,
        ):
            continue
        if not one.in_hours_only:
            since.append(towns.ALWAYS)
        elif student.school_id and town.hours[student.school_id - 1] == "open":
            since.append(now.opened_at)
    return since


def found(
    connection: psycopg.Connection[Any],
    bearers: Sequence[towns.Bearer],
    among: Sequence[int] | None,
) -> Mapping[towns.Bearer, dict[int, datetime.datetime]]:
    """What the rule says of each."""
    answer: dict[towns.Bearer, dict[int, datetime.datetime]] = {one: {} for one in bearers}
    rows = connection.execute(
        "SELECT one.number, rule.student_id, nullif(rule.since, '-infinity')"
        " FROM unnest(%s::integer[], %s::bigint[], %s::integer[]) WITH ORDINALITY"
        " AS one (viewer_id, session_id, share_id, number)"
        " CROSS JOIN LATERAL seen_by(viewer_id, session_id, share_id, %s::bigint[]) AS rule",
        [*map(list, zip(*bearers, strict=True)), among],
    )
    for number, student_id, since in rows:
        # No student twice.
        assert student_id not in answer[bearers[number - 1]]
        answer[bearers[number - 1]][student_id] = since or towns.ALWAYS
    return answer
