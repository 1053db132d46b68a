"""The bearer of a token: a viewer, and how it came in."""

from __future__ import annotations

from typing import NamedTuple


class Bearer(NamedTuple):
    """Who asks; 0 for no session, and for no share.

    By a share it is somebody whom the viewer let look at one student.
    """

    viewer_id: int
    session_id: int = 0
    share_id: int = 0
