"""Log lines: text or JSON, with extras, and never the text of an exception."""

from __future__ import annotations

import datetime
import logging
import pathlib
import re
from typing import Any

import orjson
import pytest

from geoingest import logs

_ROW = "Failing row contains (17, 2026-11-22 10:00:00+00, 52.520008, 13.404954)"
_BOTH = pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])


def test_text_is_one_readable_line() -> None:
    """Time, level and message, then the extras as key=value."""
    line = logs.TextFormatter().format(_record(reason="timeout", pings=17))

    assert re.fullmatch(r"\d\d:\d\d:\d\d warning batch 3 failed reason=timeout pings=17", line)


def test_json_is_one_object_per_line() -> None:
    """A collector finds the time in UTC, the level, the logger, the message and each extra."""
    line = logs.JsonFormatter().format(_record(reason="timeout", pings=17))

    assert "\n" not in line
    told = orjson.loads(line)
    at = datetime.datetime.fromisoformat(told.pop("timestamp"))
    assert datetime.datetime.now(datetime.UTC) - at < datetime.timedelta(minutes=1)
    assert told == {
        "level": "warning",
        "logger": "geoingest.test",
        "message": "batch 3 failed",
        "reason": "timeout",
        "pings": 17,
    }


@_BOTH
def test_an_extra_of_any_type_can_be_told(formatter: logging.Formatter) -> None:
    """What JSON does not know is told as text; a log line is never lost for it."""
    line = formatter.format(_record(folder=pathlib.Path("/data"), result=["a", 1], seconds=0.5))

    assert "/data" in line
    assert "0.5" in line


@_BOTH
def test_a_traceback_shows_where_and_never_what(formatter: logging.Formatter) -> None:
    """A driver's text may hold a row: type, files and functions are told, no text of any cause."""
    line = formatter.format(_record(exc_info=_failure()))

    assert "builtins.RuntimeError" in line
    assert "test_logs.py" in line
    assert "_fail" in line
    assert "52.52" not in line
    assert "13.40" not in line


@_BOTH
def test_without_an_exception_there_is_no_trace(formatter: logging.Formatter) -> None:
    """log.exception outside of an except block tells its message all the same."""
    line = formatter.format(_record(exc_info=(None, None, None)))

    assert "batch 3 failed" in line
    assert "None" not in line
    assert "trace" not in line


def test_configure_sends_everything_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs never mix with the data on stdout, and lines below the level are left out."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    try:
        logs.configure("json", "warning")
        logging.getLogger("geoingest.test").info("too quiet")
        logging.getLogger("geoingest.test").warning("loud enough")
        logging.getLogger("yoyo.migrations").info("each step of each migration")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

    out, err = capsys.readouterr()
    assert out == ""
    assert [orjson.loads(line)["message"] for line in err.splitlines()] == ["loud enough"]


def _record(exc_info: Any = None, **extra: object) -> logging.LogRecord:  # as logging takes it
    name = "geoingest.test"
    return logging.getLogger(name).makeRecord(
        name, logging.WARNING, __file__, 1, "batch %d failed", (3,), exc_info, extra=extra
    )


def _failure() -> object:
    """An exception with a row in its text, and in that of its cause."""
    with pytest.raises(RuntimeError) as caught:
        _fail()
    return caught.type, caught.value, caught.tb


def _fail() -> None:
    try:
        int(_ROW)
    except ValueError as exc:
        raise RuntimeError(f"not stored: {_ROW}") from exc
