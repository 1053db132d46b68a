"""The apps that people already have: what each sends, in our own words."""

from __future__ import annotations
