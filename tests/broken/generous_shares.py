"""It shows by a share whatever its maker may see of the student.

Run as `python -m tests.broken.generous_shares serve`; the check of test_shares must find it out.
"""

from __future__ import annotations

import typing

from geoingest import cli, lookup

if __name__ == "__main__":
    lookup.BY_SHARE = frozenset(typing.get_args(lookup.Kind))  # the fault
    cli.main()
