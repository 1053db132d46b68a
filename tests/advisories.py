"""What is known against the packages of constraints.txt: `python -m tests.advisories`, which is `make audit`.

pip-audit asks the database of advisories. Each finding needs a waiver in .ci/waivers.toml, with a reason and a day
on which it ends; without one, or past that day, this fails. A database that cannot be reached, or that knows
nothing of any of the packages, as a mirror of the index may not, is said so and fails nothing.
"""

from __future__ import annotations

import datetime
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

ROOT = pathlib.Path(__file__).parent.parent
WAIVERS = ROOT / ".ci" / "waivers.toml"
# The longest that a finding may be left alone without being looked at again.
LONGEST = datetime.timedelta(days=92)
_COMMAND = (
    *(sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt"),
    # All are pinned; what they need is in the list as well.
    *("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"),
)
# How it says that it was not answered, or not in time.
_AWAY = re.compile(
    r"could not connect|connection|timed out|timeout|temporary failure", re.IGNORECASE
)


class Waiver(msgspec.Struct, forbid_unknown_fields=True):
    """Why a finding is left alone, from when and until when."""

    package: str
    advisory: str
    reason: str
    since: datetime.date
    until: datetime.date


class Verdict(NamedTuple):
    """What is to be said, and whether it fails."""

    lines: list[str]
    fails: bool


class _Advisory(msgspec.Struct):
    id: str
    fix_versions: list[str]
    aliases: list[str] = []


class _Package(msgspec.Struct):
    name: str
    version: str = ""
    skip_reason: str = ""
    vulns: list[_Advisory] = []


class _Report(msgspec.Struct):
    dependencies: list[_Package]


class _Waivers(msgspec.Struct, forbid_unknown_fields=True):
    waiver: list[Waiver] = []


def judge(
    code: int, output: bytes, complaint: str, waivers: Sequence[Waiver], today: datetime.date
) -> Verdict:
    """By how pip-audit ended, what it found and what it complained of."""
    try:
        packages = msgspec.json.decode(output, type=_Report).dependencies
    except msgspec.DecodeError:
        last = (complaint.strip().splitlines() or [f"exit code {code}"])[-1]
        if _AWAY.search(complaint):
            return Verdict([f"not audited, the database cannot be reached: {last}"], fails=False)
        return Verdict([f"pip-audit failed: {last}"], fails=True)
    unknown = [one for one in packages if one.skip_reason]
    if unknown and len(unknown) == len(packages):
        # Whatever is pinned was published: it is the database that is not there.
        why = f"the database knows none of {len(packages)}: {unknown[0].skip_reason}"
        return Verdict([f"not audited, {why}"], fails=False)
    judged = [
        _judge_one(package, advisory, waivers, today)
        for package in packages
        for advisory in package.vulns
    ]
    return Verdict(
        [
            *(f"{one.name}: not audited: {one.skip_reason}" for one in unknown),
            *(line for one in judged for line in one.lines),
            f"{len(packages) - len(unknown)} of {len(packages)} packages audited,"
            f" findings: {len(judged)}",
        ],
        # To have looked at nothing is no success.
        fails=not packages or any(one.fails for one in judged),
    )


def _judge_one(
    package: _Package, advisory: _Advisory, waivers: Sequence[Waiver], today: datetime.date
) -> Verdict:
    fixed_in = ", ".join(advisory.fix_versions) or "no version"
    what = f"{package.name} {package.version}: {advisory.id}, fixed in {fixed_in}"
    names = {advisory.id, *advisory.aliases}
    for one in waivers:
        if one.package == package.name and one.advisory in names:
            if one.until < today:
                return Verdict([f"{what}: the waiver ended on {one.until}"], fails=True)
            if one.until - one.since > LONGEST:
                return Verdict([f"{what}: the waiver is for longer than it may be"], fails=True)
            return Verdict([f"{what}: waived until {one.until}: {one.reason}"], fails=False)
    return Verdict([f"{what}: no waiver"], fails=True)


def read_waivers(text: str) -> list[Waiver]:
    """Those of the file; msgspec.ValidationError for one that says no reason or no day."""
    return msgspec.convert(tomllib.loads(text), _Waivers).waiver


def main() -> int:
    """Asks, judges and says so."""
    ran = subprocess.run(_COMMAND, cwd=ROOT, capture_output=True, check=False)
    waivers = read_waivers(WAIVERS.read_text())
    today = datetime.datetime.now(datetime.UTC).date()
    verdict = judge(ran.returncode, ran.stdout, ran.stderr.decode(errors="replace"), waivers, today)
    sys.stdout.writelines(f"{line}\n" for line in verdict.lines)
    return int(verdict.fails)


if __name__ == "__main__":
    sys.exit(main())
