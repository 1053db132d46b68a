"""It leaves to aiohttp what aiohttp answers: heads that never end, chunks of a byte, bombs that were refused.

Run as `python -m tests.broken.patient serve`; the checks of test_attacks must find it out.
"""

from __future__ import annotations

from aiohttp import web

from geoingest import cli
from geoingest.ingest import reception


def _hand_on(self: reception.Reception, deadline: float) -> web.RequestHandler:
    return self._other()


if __name__ == "__main__":
    # The fault.
    reception.Reception.other = _hand_on  # type: ignore[method-assign,assignment]
    cli.main()
