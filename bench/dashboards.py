"""What a school's staff look at: the newest position of all its students, in one question."""

from __future__ import annotations

from collections.abc import Sequence

from bench import questions, world
from geoingest import db
from geoingest.access import schools, tokens

# As many students as there are, in one school, whose staff sees them by its scope.
_STAFF = """
INSERT INTO viewers (token_digest, role) VALUES ($1, 'staff')
RETURNING viewer_id
"""
_SCOPE = "INSERT INTO staff_scopes (viewer_id, school_id) VALUES ($1, $2)"


def staff(on: world.World, students: Sequence[int] | None = None) -> str:
    """Puts these students, or all, into a new school; the token of one who sees that school."""
    token = tokens.create("viewer")
    with db.direct(on.url) as connection:
        school_id = schools.add(connection, "Europe/Berlin")
        schools.move(connection, school_id, students)
        row = connection.execute(_STAFF, [tokens.digest(token)]).fetchone()
        assert row is not None, "INSERT .. RETURNING gives a row"
        connection.execute(_SCOPE, [row["viewer_id"], school_id])
    return token


def asked(token: str, *, port: int) -> questions.Questions:
    """The whole school, again and again."""
    return questions.Questions([questions.get("/v1/locations", token, port=port)])
