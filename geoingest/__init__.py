"""Geolocation pings in, committed in batches, read back from a replica."""

from __future__ import annotations

__version__ = "0.1.0"
