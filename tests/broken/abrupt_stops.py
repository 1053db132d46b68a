"""It ends at SIGTERM with requests in its hands, though it says exit code 0.

Run as `python -m tests.broken.abrupt_stops serve`; the checks of test_rolling_restart must find it out.
"""

from __future__ import annotations

import os

from geoingest import cli, http

if __name__ == "__main__":
    http.drain = lambda: os._exit(0)  # the fault
    cli.main()
