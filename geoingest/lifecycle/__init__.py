"""What happens to the schema and its rows as they age."""

from __future__ import annotations
