"""A judge of the promises: what phones were told, held against what is stored and what was counted.

After the set checker of Jepsen (https://github.com/jepsen-io/jepsen): a ping is ok, rejected or
unknown to its phone; ok must be stored, and stored must be ok or unknown.
"""

from __future__ import annotations
