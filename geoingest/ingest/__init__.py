"""A phone's request becomes committed rows."""

from __future__ import annotations
