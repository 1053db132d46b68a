"""It tells an app by a 400 that what it sent is no ping.

Run as `python -m tests.broken.refuses_poison serve`; the checks of test_poison must find it out.
"""

from __future__ import annotations

from typing import Any

from geoingest import cli, errors
from geoingest.ingest import content, intake

_take = intake.Intake.take_items


def _take_only_good(self: intake.Intake, *arguments: Any, **options: Any) -> content.Decoded:
    decoded = _take(self, *arguments, **options)
    if decoded.rejected:
        raise errors.MalformedBodyError
    return decoded


if __name__ == "__main__":
    intake.Intake.take_items = _take_only_good  # type: ignore[method-assign]  # the fault
    cli.main()
