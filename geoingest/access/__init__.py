"""Who is asking, and may they."""

from __future__ import annotations
