"""What is promised without a pooler holds behind PgBouncer in transaction mode: the same tests once more.

They and their fixtures are collected here with a `database` whose settings lead through poolers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from geoingest.local import cluster
from tests import conftest, poolers
from tests.test_access import test_tokens_come_and_go_with_the_running_service  # noqa: F401
from tests.test_directory import (  # noqa: F401
    admin,
    test_each_kind_is_added_and_then_unchanged,
    test_numbers_that_the_platform_chose_are_stepped_around,
)
from tests.test_group_lookups import (  # noqa: F401
    crowd,
    test_all_of_an_answer_are_two_rows_of_one_commit,
    test_each_student_is_told_among_its_own,
)
from tests.test_health import test_a_service_that_can_take_pings_is_ready  # noqa: F401
from tests.test_ingest_end_to_end import (  # noqa: F401
    phone,
    test_a_broken_line_harms_no_other_line,
    test_a_gateway_names_the_student_of_each_ping,
    test_a_ping_is_stored_before_the_answer,
    test_an_empty_array_after_duplicates_is_as_harmless_as_any,
    test_duplicates_are_counted_and_never_stored_twice,
    test_every_form_of_a_body_is_taken,
    test_one_bad_ping_harms_no_neighbour,
)
from tests.test_lookups import (  # noqa: F401
    child,
    test_all_students_of_an_answer_are_on_record_in_one_commit,
    test_each_answer_is_one_row,
)
from tests.test_read_tracks import (  # noqa: F401
    everyone,
    test_a_window_holds_its_start_and_not_its_end,
    test_pages_lose_and_double_no_point,
)
from tests.test_reads import (  # noqa: F401
    test_an_answer_is_never_cut_silently,
    test_every_answer_has_its_shape_and_stays_in_no_cache,
    test_foreign_and_unknown_students_look_alike,
    test_the_newest_ping_is_found_however_old_or_fast_a_clock_is,
    test_the_replica_answers_and_is_complete_up_to_as_of,
    test_who_has_no_viewers_token_is_told_nothing,
)
from tests.test_rollup_reads import (  # noqa: F401
    guardian,
    test_hours_and_days_have_their_own_members,
    test_one_cursor_walks_from_hours_to_pings,
)

pytestmark = poolers.needed


@pytest.fixture(scope="module")
def bouncers(servers: cluster.Cluster) -> Iterator[tuple[poolers.Bouncer, poolers.Bouncer]]:
    """A pooler before each server."""
    with (
        poolers.in_front_of(servers, cluster.PRIMARY_PORT) as first,
        poolers.in_front_of(servers, cluster.REPLICA_PORT) as second,
    ):
        yield first, second


@pytest.fixture
def database(
    database: conftest.Database, bouncers: tuple[poolers.Bouncer, poolers.Bouncer]
) -> conftest.Database:
    """A fresh, migrated database whose settings lead through the poolers."""
    return poolers.pooled(database, *bouncers)


def test_the_settings_lead_through_the_pooler(
    database: conftest.Database, bouncers: tuple[poolers.Bouncer, poolers.Bouncer]
) -> None:
    """None of these tests goes the direct way by mistake."""
    settings = database.settings()

    ports = [
        f":{one.port}/" in url
        for one, url in zip(
            bouncers, (settings.database_url, settings.database_replica_url), strict=True
        )
    ]

    assert ports == [True, True]
    assert settings.is_pooled
    assert settings.direct_url == database.url
