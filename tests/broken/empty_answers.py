"""It answers OwnTracks with nothing, as others do who speak its protocol.

Run as `python -m tests.broken.empty_answers serve`; the checks of test_poison must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.ingest import apps

if __name__ == "__main__":
    apps.APPS = tuple(  # type: ignore[assignment]  # the fault
        app._replace(success=b"", content_type="text/plain") if app.name == "owntracks" else app
        for app in apps.APPS
    )
    cli.main()
