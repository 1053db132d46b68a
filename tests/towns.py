"""Small towns at random: who is at which school, and who may see whom."""

from __future__ import annotations

import datetime
import zoneinfo
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from hypothesis import strategies as st

PAST, FUTURE = "-1 hour", "1 hour"
ALWAYS = datetime.datetime.min.replace(tzinfo=datetime.UTC)
SCHOOLS, CLASSES, STUDENTS, VIEWERS = range(1, 3), range(1, 5), range(1, 6), range(1, 4)
_ZONES = ("UTC", "Asia/Tokyo")

# Of a school: without hours, within them, past them, on no school day, on a holiday.
Hours = Literal["none", "open", "over", "day off", "holiday"]
# Of anything that ends: it lasts, or it has ended.
When = Literal["1 hour", "-1 hour"]


class Student(NamedTuple):
    school_id: int | None
    class_id: int | None
    is_erased: bool


class Viewer(NamedTuple):
    sees_all: bool
    is_revoked: bool


class Session(NamedTuple):
    viewer_id: int
    ends: When
    is_idle: bool


class Share(NamedTuple):
    viewer_id: int
    student_id: int
    ends: When
    is_revoked: bool


class Scope(NamedTuple):
    viewer_id: int
    school_id: int
    class_id: int | None


class Guardianship(NamedTuple):
    viewer_id: int
    student_id: int
    begins: When
    ends: When
    consent: When
    in_hours_only: bool


class Bearer(NamedTuple):
    """0 for no session, and for no share."""

    viewer_id: int
    session_id: int
    share_id: int


class Town(NamedTuple):
    """Rows by their number, from 1; class 1 and 2 are of school 1, 3 and 4 of school 2."""

    hours: Sequence[Hours]
    students: Sequence[Student]
    viewers: Sequence[Viewer]
    sessions: Sequence[Session]
    shares: Sequence[Share]
    scopes: Collection[Scope]
    guardianships: Collection[Guardianship]

    @property
    def bearers(self) -> list[Bearer]:
        """Everybody by every session and share, also by somebody else's; and a viewer there is not."""
        return [
            Bearer(viewer_id, session_id, share_id)
            for viewer_id in (*VIEWERS, 99)
            for session_id in range(len(self.sessions) + 1)
            for share_id in range(len(self.shares) + 1)
        ]


class Clock(NamedTuple):
    """When a test is, and a time zone in which that is neither early nor late."""

    now: datetime.datetime
    zone: str

    @property
    def local(self) -> datetime.datetime:
        """The same on the wall."""
        return self.now.astimezone(zoneinfo.ZoneInfo(self.zone)).replace(second=0, microsecond=0)

    @property
    def shared_since(self) -> datetime.datetime:
        """How far back a share shows: a day from when it was made, which was two hours ago."""
        return self.now - datetime.timedelta(hours=26)

    @property
    def opened_at(self) -> datetime.datetime:
        """When a school that is open has opened: two hours ago."""
        return (self.local - datetime.timedelta(hours=2)).astimezone(datetime.UTC)


def clock() -> Clock:
    """Now."""
    now = datetime.datetime.now(datetime.UTC)
    (zone, *_) = (one for one in _ZONES if 4 <= now.astimezone(zoneinfo.ZoneInfo(one)).hour <= 19)
    return Clock(now, zone)


def _students() -> st.SearchStrategy[Student]:
    places = st.sampled_from([(None, None), (1, None), (1, 1), (1, 2), (2, 3), (2, None)])
    return st.builds(
        lambda place, erased: Student(place[0], place[1], erased == 0), places, st.integers(0, 4)
    )


def _mostly_not() -> st.SearchStrategy[bool]:
    return st.sampled_from([False, False, False, True])


def _lasting() -> st.SearchStrategy[When]:
    return st.sampled_from([FUTURE, FUTURE, FUTURE, PAST])


def _begun() -> st.SearchStrategy[When]:
    return st.sampled_from([PAST, PAST, PAST, FUTURE])


def towns() -> st.SearchStrategy[Town]:
    """Each with two schools, five students, three viewers, and whatever is between them."""
    viewer_ids, student_ids = st.sampled_from(VIEWERS), st.sampled_from(STUDENTS)
    hours = st.sampled_from(("none", "open", "open", "over", "day off", "holiday"))
    scopes = st.builds(
        lambda viewer_id, place: Scope(viewer_id, *place),
        viewer_ids,
        st.sampled_from([(1, None), (2, None), (1, 1), (1, 2), (2, 3)]),
    )
    guardianships = st.builds(
        Guardianship, viewer_ids, student_ids, _begun(), _lasting(), _lasting(), st.booleans()
    )
    return st.builds(
        Town,
        st.tuples(hours, hours),
        st.lists(_students(), min_size=5, max_size=5),
        st.lists(
            st.builds(Viewer, sees_all=_mostly_not(), is_revoked=_mostly_not()),
            min_size=3,
            max_size=3,
        ),
        st.lists(st.builds(Session, viewer_ids, _lasting(), _mostly_not()), max_size=2),
        st.lists(st.builds(Share, viewer_ids, student_ids, _lasting(), _mostly_not()), max_size=3),
        st.sets(scopes, min_size=1, max_size=4),
        st.lists(guardianships, min_size=4, max_size=9, unique_by=lambda one: one[:2]),
    )
