"""What an operator asks of a running service."""

from __future__ import annotations
