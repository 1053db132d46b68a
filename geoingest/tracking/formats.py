"""Tracks as files: how a point is written as GPX, KML or CSV, and what stands around the points.

A file holds the whole window. It has a part for each resolution, oldest first: one, or with `auto`
hours and then pings. Nothing needs escaping: all there is are numbers, instants and fixed words.

* GPX 1.1: a <trk> for each part, its <type> the resolution; place, altitude, time. No speed and no
  course: GPX 1.1 has no place for them.
* KML 2.2: a <Folder> for each part, named by the resolution; a <Placemark> for each point with its
  place, altitude, and time: the instant of a ping, the span of an hour or a day from first to last.
* CSV: every member of the JSON points, the same columns whatever the resolution, empty where one has
  no such member; the first column is the resolution.

The time of an hour in GPX is its beginning, that of a day its first ping.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import NamedTuple

from geoingest.tracking import shapes


class Format(NamedTuple):
    """The text of a file, piece by piece; `part` takes the resolution."""

    content_type: str
    head: str
    part: str
    point: Callable[[shapes.AnyPoint], str]
    part_end: str
    foot: str


def gpx_point(point: shapes.AnyPoint) -> str:
    """A <trkpt>."""
    place = f'<trkpt lat="{_degrees(point.latitude)}" lon="{_degrees(point.longitude)}">'
    time = point.first_at if isinstance(point, shapes.DayPoint) else point.timestamp
    altitude = _altitude(point)
    height = f"<ele>{altitude}</ele>" if altitude else ""
    return f"{place}{height}<time>{text(time)}</time></trkpt>\n"


def kml_point(point: shapes.AnyPoint) -> str:
    """A <Placemark>."""
    if isinstance(point, shapes.Point):
        time = f"<TimeStamp><when>{text(point.timestamp)}</when></TimeStamp>"
    else:
        time = (
            f"<TimeSpan><begin>{text(point.first_at)}</begin>"
            f"<end>{text(point.last_at)}</end></TimeSpan>"
        )
    place = [_degrees(point.longitude), _degrees(point.latitude), _altitude(point)]
    where = ",".join(filter(None, place))
    return f"<Placemark>{time}<Point><coordinates>{where}</coordinates></Point></Placemark>\n"


def csv_point(point: shapes.AnyPoint) -> str:
    """A line; no value holds a comma or a quote."""
    values = (text(getattr(point, column, None)) for column in _COLUMNS)
    return f"{_RESOLUTIONS[type(point)]},{','.join(values)}\r\n"


def text(value: object) -> str:
    """A value as JSON has it, without its quotes; nothing for null."""
    if isinstance(value, datetime.datetime):
        return f"{value.isoformat()[:-6]}Z"
    return "" if value is None else str(value)


def _degrees(degrees: float) -> str:
    # A millimetre; and never 1e-05, which XML takes for no decimal.
    return f"{degrees:.8f}"


def _altitude(point: shapes.AnyPoint) -> str:
    known = point.altitude if isinstance(point, shapes.Point) else None
    return "" if known is None else f"{known:.2f}"


_RESOLUTIONS: dict[type[shapes.AnyPoint], shapes.Resolution] = {
    shapes.Point: "raw",
    shapes.HourPoint: "hour",
    shapes.DayPoint: "day",
}
# In the order of the points, each name once.
_COLUMNS = list(
    dict.fromkeys(
        name
        for shape in (shapes.Point, shapes.HourPoint, shapes.DayPoint)
        for name in shape.__struct_fields__
    )
)
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'

GPX = Format(
    "application/gpx+xml",
    _XML + '<gpx version="1.1" creator="geoingest" xmlns="http://www.topografix.com/GPX/1/1">\n',
    "<trk><type>{}</type><trkseg>\n",
    gpx_point,
    "</trkseg></trk>\n",
    "</gpx>\n",
)
KML = Format(
    "application/vnd.google-earth.kml+xml",
    _XML + '<kml xmlns="http://www.opengis.net/kml/2.2"><Document>\n',
    "<Folder><name>{}</name>\n",
    kml_point,
    "</Folder>\n",
    "</Document></kml>\n",
)
CSV = Format(
    "text/csv; charset=utf-8; header=present",
    f"resolution,{','.join(_COLUMNS)}\r\n",
    "",
    csv_point,
    "",
    "",
)
FORMATS = {one.content_type.partition(";")[0]: one for one in (GPX, KML, CSV)}
