"""Decides on each decoded ping: the row to store, or why never."""

from __future__ import annotations

import datetime
from collections.abc import Iterable

from geoingest import ping
from geoingest.ingest import rows

_MICROSECOND = datetime.timedelta(microseconds=1)


def admit(bodies: Iterable[ping.PingBody], terms: ping.Admission) -> list[rows.Row | ping.Reason]:
    """Rows in the form of rows.encode, and reasons, in the order of the pings.

    One loop with as few calls as can be, because this is what a ping costs: a function for the
    row alone would make it a half slower.
    """
    (device_id, own_student), students, received_us, oldest_us, newest_us = terms
    fields, null, join = rows.FIELDS, rows.NULL, b"".join
    pack_place, pack_real, pack_small = rows.pack_place, rows.pack_real, rows.pack_small
    # No flags: salvage sets them.
    tail = rows.NULL + rows.pack_instant(8, received_us)
    admitted: list[rows.Row | ping.Reason] = []
    append = admitted.append
    for body in bodies:
        timestamp = body.timestamp
        if isinstance(timestamp, datetime.datetime):
            timestamp_us = (timestamp - ping.EPOCH) // _MICROSECOND
        else:
            timestamp_us = ping.number_us(timestamp)
        if timestamp_us < oldest_us:
            append("too_old")
            continue
        if timestamp_us > newest_us:
            append("in_future")
            continue
        named = body.student_id
        student_id = own_student if named is None else named
        # Only a gateway, which has no student of its own, may name one.
        if student_id is None or (
            student_id != own_student and (own_student is not None or student_id not in students)
        ):
            append("unknown_student")
            continue
        accuracy, altitude, speed = body.accuracy, body.altitude, body.speed
        course, battery = body.course, body.battery
        append(
            join(
                (
                    pack_place(
                        *(fields, 8, student_id, 8, timestamp_us, 4, device_id),
                        *(8, body.latitude, 8, body.longitude),
                    ),
                    null if accuracy is None else pack_real(4, accuracy),
                    null if altitude is None else pack_real(4, altitude),
                    null if speed is None else pack_real(4, speed),
                    null if course is None else pack_real(4, course),
                    null if battery is None else pack_small(2, round(battery)),
                    tail,
                )
            )
        )
    return admitted
