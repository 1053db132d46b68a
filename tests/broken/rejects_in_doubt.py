"""It takes a lost connection for "not stored" and says that the caller must change something.

Run as `python -m tests.broken.rejects_in_doubt serve`; the checks of test_in_doubt must find it out.
"""

from __future__ import annotations

from geoingest import cli, errors
from geoingest.ingest import writer

if __name__ == "__main__":
    # No second try: it would find out.
    writer.RECONNECT_SECONDS = 0.0
    errors.WriteFailedError.status = 422  # the fault
    cli.main()
