"""It closes a connection in the middle of a file as it does at its end.

Run as `python -m tests.broken.ends_politely serve`; the checks of test_export_cuts must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.tracking import export

if __name__ == "__main__":
    export._RESET = export._FINISH  # the fault
    cli.main()
