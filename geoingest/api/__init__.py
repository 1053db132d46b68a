"""What openapi.json says: the public interface as tables, a file for each part of it."""

from __future__ import annotations
