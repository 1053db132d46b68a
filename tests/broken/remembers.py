"""It keeps what a viewer was told for a minute.

Run as `python -m tests.broken.remembers serve`; the check of test_viewers must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.access import viewers

if __name__ == "__main__":
    # The fault.
    viewers.KEPT_SECONDS = 60.0
    cli.main()
