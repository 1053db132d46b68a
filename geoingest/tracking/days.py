"""A student's days: how far, how long, and when first and last seen."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from geoingest import db
from geoingest.tracking import acting, shapes


class Span(NamedTuple):
    """What is asked: the days from the first to the last, and nothing from before `oldest`."""

    first: datetime.date
    last: datetime.date
    oldest: datetime.datetime


async def fetch(
    asking: acting.Asking, student_id: int, span: Span
) -> tuple[list[shapes.Day], datetime.datetime]:
    """The days with a ping, oldest first, and up to when pings are in them."""
    # Asked first: what is rolled up meanwhile is more than was promised.
    rolled_to = await asking.fetchval(db.queries()["rolled_to"])
    rows = await asking.fetch(db.queries()["days_between"], student_id, *span)
    return [shapes.Day(*row.values()) for row in rows], rolled_to


def instants(span: Span) -> tuple[datetime.datetime, datetime.datetime]:
    """The first day's midnight and the end of the last one, as if both were in UTC."""
    return (
        datetime.datetime.combine(span.first, datetime.time.min, datetime.UTC),
        datetime.datetime.combine(span.last, datetime.time.max, datetime.UTC),
    )
