"""Services that are broken on purpose: each breaks one promise, and the tests' checks must find it."""

from __future__ import annotations
