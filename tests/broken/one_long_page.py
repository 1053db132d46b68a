"""It reads a file's whole window as one page.

Run as `python -m tests.broken.one_long_page serve`; the checks of test_export_cuts must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.tracking import export

if __name__ == "__main__":
    export.PAGE_POINTS = 1_000_000  # the fault
    cli.main()
