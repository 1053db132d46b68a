"""It takes the algorithm from the token.

Run as `python -m tests.broken.believes_algorithms serve`; the check of test_platform must find it out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from geoingest import cli, config
from geoingest.access import jwks, platform

_key_named = platform._key_named
_usable = jwks.usable


def _believe(token: str, _algorithms: object) -> jwks.Name:
    return _key_named(token, tuple(config.SIGNATURES))


def _for_any(published: Any, _algorithms: object) -> jwks.Keys:
    unbound = [msgspec.structs.replace(one, alg=None) for one in published]
    return _usable(unbound, config.SIGNATURES)


if __name__ == "__main__":
    platform._key_named = _believe  # type: ignore[assignment]  # the fault
    jwks.usable = _for_any  # type: ignore[assignment]  # the fault
    cli.main()
