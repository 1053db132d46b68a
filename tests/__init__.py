"""The tests: real PostgreSQL always, fakes only at the ports."""

from __future__ import annotations
