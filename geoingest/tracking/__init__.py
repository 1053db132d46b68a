"""A guardian's question becomes an answer."""

from __future__ import annotations
