"""The commands of `geoingest` by subject; cli.py puts them together."""

from __future__ import annotations
