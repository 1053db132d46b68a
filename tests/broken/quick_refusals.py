"""It hashes nothing where there is no account, and so tells by its haste that there is none.

Run as `python -m tests.broken.quick_refusals serve`; the check of test_login must find it out.
"""

from __future__ import annotations

from geoingest import cli
from geoingest.access import passwords

_verify = passwords.Passwords.verify


async def _in_haste(
    self: passwords.Passwords, password_hash: str | None, password: str
) -> passwords.Verdict:
    if password_hash is None:
        return passwords.Verdict(is_right=False)
    return await _verify(self, password_hash, password)


if __name__ == "__main__":
    passwords.Passwords.verify = _in_haste  # type: ignore[method-assign]  # the fault
    cli.main()
