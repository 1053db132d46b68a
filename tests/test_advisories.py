"""A known fault of a package fails the run, unless it is waived for a while; what cannot be asked is said so."""

from __future__ import annotations

import datetime
import json
from typing import Any

import msgspec
import pytest

from tests import advisories

TODAY = datetime.date(2026, 11, 27)
SKIPPED = {"name": "orjson", "skip_reason": "Dependency not found on PyPI"}
WELL = {"name": "aiohttp", "version": "3.14.5", "vulns": []}
ILL = {
    "name": "yarl",
    "version": "1.25.1",
    "vulns": [
        {"id": "PYSEC-1", "fix_versions": ["1.25.2"], "aliases": ["CVE-7"], "description": "bad"}
    ],
}


def _waiver(**changes: Any) -> advisories.Waiver:
    values = {
        "package": "yarl",
        "advisory": "PYSEC-1",
        "reason": "never called",
        "since": datetime.date(2026, 11, 1),
        "until": datetime.date(2026, 12, 24),
    }
    return advisories.Waiver(**{**values, **changes})


def _judge(*packages: object, waivers: tuple[advisories.Waiver, ...] = ()) -> advisories.Verdict:
    output = json.dumps({"dependencies": packages, "fixes": []}).encode()
    return advisories.judge(1, output, "", waivers, TODAY)


def test_nothing_found_is_well() -> None:
    """It says how many were looked at."""
    assert _judge(WELL) == (["1 of 1 packages audited, findings: 0"], False)


def test_a_finding_fails() -> None:
    """The package, its version, the advisory and what would help are named."""
    lines, fails = _judge(WELL, ILL)

    assert fails
    assert lines[0] == "yarl 1.25.1: PYSEC-1, fixed in 1.25.2: no waiver"


@pytest.mark.parametrize("advisory", ["PYSEC-1", "CVE-7"])
def test_a_waiver_lets_it_be(advisory: str) -> None:
    """Under any of the advisory's names, with its reason and its end, up to that day."""
    waivers = (_waiver(advisory=advisory, until=TODAY),)
    lines, fails = _judge(ILL, waivers=waivers)

    assert not fails
    assert lines[0].endswith("waived until 2026-11-27: never called")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"until": datetime.date(2026, 11, 26)}, "the waiver ended on 2026-11-26"),
        ({"until": datetime.date(2027, 11, 1)}, "the waiver is for longer than it may be"),
        ({"package": "aiohttp"}, "no waiver"),
        ({"advisory": "PYSEC-2"}, "no waiver"),
    ],
)
def test_another_waiver_does_not(changes: dict[str, Any], words: str) -> None:
    """One that has ended, that lasts for a year, or that is of something else."""
    lines, fails = _judge(ILL, waivers=(_waiver(**changes),))

    assert fails
    assert lines[0].endswith(words)


def test_what_the_database_does_not_know_is_named() -> None:
    """Some of them: a finding among the others fails all the same."""
    well, found = _judge(WELL, SKIPPED), _judge(ILL, SKIPPED)

    assert not well.fails
    assert well.lines[0] == "orjson: not audited: Dependency not found on PyPI"
    assert well.lines[-1] == "1 of 2 packages audited, findings: 0"
    assert found.fails


def test_a_database_that_is_away_fails_nothing() -> None:
    """It knows none of them, or there was no connection: a line says why nothing was audited."""
    complaint = "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"

    away = advisories.judge(1, b"", complaint, (), TODAY)
    empty = _judge(SKIPPED, SKIPPED)

    assert (away.fails, empty.fails) == (False, False)
    assert away.lines == [f"not audited, the database cannot be reached: {complaint}"]
    assert empty.lines[0].startswith("not audited, the database knows none of 2")


def test_any_other_failure_fails() -> None:
    """A tool that breaks, says nothing, or looked at nothing has not found that all is well."""
    broken = advisories.judge(2, b"", "usage: pip-audit [-h]\nerror: no such option", (), TODAY)
    silent = advisories.judge(0, b"", "", (), TODAY)

    assert (broken.fails, silent.fails, _judge().fails) == (True, True, True)
    assert broken.lines == ["pip-audit failed: error: no such option"]


def test_waivers_are_checked() -> None:
    """One without a reason or an end, or with a typo, is refused; those of the repository are good."""
    good = "package = 'a'\nadvisory = 'b'\nsince = 2026-11-27\nuntil = 2026-12-24\n"

    assert advisories.read_waivers(f"[[waiver]]\n{good}reason = 'c'")[0].until.month == 12
    for bad in (good, good.replace("until", "untill") + "reason = 'c'", "reason = 'c'"):
        with pytest.raises(msgspec.ValidationError):
            advisories.read_waivers(f"[[waiver]]\n{bad}")
    advisories.read_waivers(advisories.WAIVERS.read_text())
