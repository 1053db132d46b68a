"""It asks the replica once, and takes a question that replay cancelled for its own mistake.

Run as `python -m tests.broken.no_second_question serve`; the checks of test_month_readers must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.tracking import replica

if __name__ == "__main__":
    replica._CONFLICTS = ()  # type: ignore[assignment]  # the fault
    cli.main()
