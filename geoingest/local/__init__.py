"""Everything on one machine: embedded databases and simulated phones."""

from __future__ import annotations
