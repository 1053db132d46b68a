"""Every number the README claims, one command each: python -m bench NAME."""

from __future__ import annotations
