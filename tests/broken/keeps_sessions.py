"""It logs out on the process that was asked, and leaves the session where the others find it.

Run as `python -m tests.broken.keeps_sessions serve`; the check of test_sessions must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.access import sessions


async def _forget(self: sessions.Sessions, token: str) -> None:
    self._known.forget(token)


if __name__ == "__main__":
    sessions.Sessions.end = _forget  # type: ignore[method-assign]  # the fault
    cli.main()
