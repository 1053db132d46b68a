"""Lets `python -m geoingest` stand for the `geoingest` command."""

from __future__ import annotations

from geoingest import cli

if __name__ == "__main__":
    cli.main()
