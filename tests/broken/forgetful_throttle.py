"""It counts failures to log in in its own memory, where neither another process nor the next one finds them.

Run as `python -m tests.broken.forgetful_throttle serve`; the check of test_throttle must find it out.
"""

from __future__ import annotations

import collections

from geoingest import cli, errors
from geoingest.access import logins, throttle

_failures: collections.Counter[bytes] = collections.Counter()
_check = logins.Logins._check


async def _count_here(self: logins.Logins, one: logins.Try) -> logins._Right:
    if _failures[one.keys.account] >= throttle.ACCOUNT.free:
        raise errors.TooManyLoginsError(1.0)
    try:
        right = await _check(self, one)
    except errors.WrongCredentialsError:
        _failures[one.keys.account] += 1
        async with self._primary.acquire() as connection:
            await connection.execute("DELETE FROM login_failures")
        raise
    return right


if __name__ == "__main__":
    logins.Logins._check = _count_here  # type: ignore[method-assign]  # the fault
    cli.main()
