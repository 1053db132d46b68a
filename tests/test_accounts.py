"""What a viewer logs in with is set by hand: never from an argument, and only what is worth guessing at."""

from __future__ import annotations

import click.testing
import pytest

from geoingest import cli
from geoingest.access import passwords, provision
from tests import accounts, commands, conftest, processes


@pytest.fixture
def viewer(database: conftest.Database, school: list[provision.Enrolled]) -> str:
    """The number of a viewer without e-mail or password."""
    ((viewer_id,),) = database.query("SELECT min(viewer_id) FROM viewers")
    return str(viewer_id)


def _set(
    database: conftest.Database, viewer: str, *options: str, typed: str
) -> click.testing.Result:
    return click.testing.CliRunner().invoke(
        cli.main,
        ["viewer", "password", viewer, *options],
        input=typed,
        env={"GEOINGEST_DATA_DIR": commands.NOWHERE, **processes.urls(database)},
        catch_exceptions=False,
    )


async def test_a_password_that_is_set_logs_in(
    running: conftest.Running, database: conftest.Database, viewer: str
) -> None:
    """It is the first line of stdin, spaces and all; nothing is printed but that it was done."""
    result = _set(
        database, viewer, "--email", " Kim@Example.ORG ", typed="  five spaced words  \nx"
    )

    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "password set, 0 sessions ended\n"
    answers = [
        (await accounts.log_in(running.client, password=one)).status
        for one in ("  five spaced words  ", "five spaced words")
    ]
    assert answers == [200, 401]


async def test_a_new_one_ends_all_sessions(
    running: conftest.Running, database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """The e-mail stays where none is given; the viewer's own token does, too."""
    account = accounts.add(database, school[0])
    tokens = [await accounts.token(running.client) for _ in range(2)]

    result = _set(database, str(account.viewer_id), typed="six words that nobody guesses\n")

    assert result.stderr == "password set, 2 sessions ended\n"
    looks = [await accounts.sees(running.client, one, account) for one in tokens]
    assert looks == [401, 401]
    assert await accounts.sees(running.client, school[0].viewer_token, account) == 200
    again = await accounts.log_in(running.client, password="six words that nobody guesses")
    assert again.status == 200


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "at least 15 letters"),
        ("fourteen chars\n", "at least 15 letters"),
        ("x" * 1025 + "abcdef", "at most 1024 bytes"),
        ("\U0001f6a2" * 257 + "abcdef", "at most 1024 bytes"),
        ("abababababababab\n", "at least 6 different letters"),
        ("Kim.Possible is 15\n", "without the e-mail address"),
    ],
)
def test_a_password_worth_nothing_is_not_taken(
    database: conftest.Database, viewer: str, typed: str, words: str
) -> None:
    """Exit 2 and what is wanted; what was typed is not repeated."""
    result = _set(database, viewer, "--email", "kim.possible@example.org", typed=typed)

    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr
    assert not typed.strip() or typed.strip() not in result.stderr
    assert database.query("SELECT count(*) FROM viewers WHERE email IS NOT NULL") == [(0,)]


def test_length_is_counted_as_it_is_hashed() -> None:
    """A letter and its accent are one; what is long enough needs neither digits nor signs."""
    assert passwords.fault("e\u0301" * 14, "") is not None
    assert passwords.fault("only small letters", "") is None
    assert passwords.fault("sixteen\U0001f6a2signs ok", "") is None


@pytest.mark.parametrize(
    "email",
    ["", "kim", "@example.org", "kim@", "k m@example.org", f"{'k' * 250}@x.org", "k\t@x.org"],
)
def test_an_e_mail_that_is_none_is_not_taken(
    database: conftest.Database, viewer: str, email: str
) -> None:
    """Exit 2, and how one looks."""
    result = _set(database, viewer, "--email", email, typed=accounts.PASSWORD)

    assert result.exit_code == 2
    assert "as name@example.org" in result.stderr


def test_an_e_mail_is_one_viewers(
    database: conftest.Database, school: list[provision.Enrolled], viewer: str
) -> None:
    """Exit 2 where another has it or where there is none; neither is told who."""
    accounts.add(database, school[1])

    taken = _set(database, viewer, "--email", accounts.EMAIL, typed=accounts.PASSWORD)
    none = _set(database, viewer, typed=accounts.PASSWORD)

    assert (taken.exit_code, none.exit_code) == (2, 2)
    assert "another viewer has it" in taken.stderr
    assert "the viewer has none yet" in none.stderr
    assert accounts.EMAIL not in taken.output


@pytest.mark.parametrize("command", ["password", "logout"])
def test_who_is_not_there_has_neither(database: conftest.Database, command: str) -> None:
    """Exit 1 for a number that nobody has."""
    result = click.testing.CliRunner().invoke(
        cli.main,
        ["viewer", command, "4711"],
        input=accounts.PASSWORD,
        env={"GEOINGEST_DATA_DIR": commands.NOWHERE, **processes.urls(database)},
    )

    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no viewer 4711" in result.stderr


def test_a_revoked_viewer_gets_no_password(database: conftest.Database, viewer: str) -> None:
    """It would be of no use."""
    database.query("UPDATE viewers SET revoked_at = now()")

    result = _set(database, viewer, "--email", accounts.EMAIL, typed=accounts.PASSWORD)

    assert result.exit_code == 1
    assert "or it is revoked" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("17", "--all")])
def test_who_is_logged_out_has_to_be_said(arguments: tuple[str, ...]) -> None:
    """One viewer, or all: exit 2 for neither and for both."""
    assert commands.run("viewer", "logout", *arguments).exit_code == 2
