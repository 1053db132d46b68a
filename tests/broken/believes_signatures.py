"""It reads a token without a look at its signature.

Run as `python -m tests.broken.believes_signatures serve`; the check of test_platform must find it out.
"""

from __future__ import annotations

import jwt

from geoingest import cli
from geoingest.access import platform


async def _holder(_self: platform.Platform, token: str) -> platform.Holder:
    claims = jwt.decode(token, options={"verify_signature": False})
    return platform.Holder(str(claims["sub"]), 2**31)


if __name__ == "__main__":
    platform.Platform.holder = _holder  # type: ignore[method-assign,assignment]  # the fault
    cli.main()
