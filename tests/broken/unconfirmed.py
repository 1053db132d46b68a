"""It confirms duplicates without a look at any standby.

Run as `python -m tests.broken.unconfirmed serve`; the checks of test_quorum must find it out.
"""

from __future__ import annotations

from geoingest import cli, db

if __name__ == "__main__":
    db.queries()["confirm_duplicates"] = "SELECT 1"  # type: ignore[index]  # the fault
    cli.main()
