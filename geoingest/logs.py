"""Log lines on stderr, as text or as JSON; never a coordinate, a name or a token."""

from __future__ import annotations

import datetime
import logging
import sys

import orjson
from typing_extensions import override

# What logging itself puts on a record: everything else came in by `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class TextFormatter(logging.Formatter):
    """One readable line: time, level, message, then the extras as key=value."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        pairs = "".join(f" {key}={value}" for key, value in _extras(record).items())
        clock = _instant(record).strftime("%H:%M:%S")
        return f"{clock} {record.levelname.lower():<7} {record.getMessage()}{pairs}{_trace(record)}"


class JsonFormatter(logging.Formatter):
    """One JSON object per line, for collectors."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if trace := _trace(record):
            line["trace"] = trace.strip()
        return orjson.dumps(line, default=str).decode()


def configure(log_format: str, level: str) -> None:
    """Sends every log line of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # yoyo tells every step of every migration.
    logging.getLogger("yoyo").setLevel(logging.WARNING)


def name_worker(slot: str) -> None:
    """Tells the workers of one service apart: every line of this process says which it is."""
    make = logging.getLogRecordFactory()

    def with_worker(*args: object, **kwargs: object) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.worker = slot
        return record

    logging.setLogRecordFactory(with_worker)


def _instant(record: logging.LogRecord) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(record.created, datetime.UTC)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _trace(record: logging.LogRecord) -> str:
    """Where an exception came from, without its text: a driver's text may hold a row."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    exc, trace = record.exc_info[1], record.exc_info[2]
    lines = [f"\n  {type(exc).__module__}.{type(exc).__qualname__}"]
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f"\n    {code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return "".join(lines)
