"""`geoingest serve --workers N`: N processes on one port are one service, whatever becomes of each."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import signal
import socket
import struct

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.multiprocess import MultiProcessCollector

from geoingest import errors, serve, supervisor
from geoingest.access import provision
from geoingest.local import roles
from tests import commands, conftest, processes, test_metrics, trees, workforces
from tests.oracle import judge, told

# The promise.
EXIT_SECONDS = 10.0
CALLERS = 600
LEAST_SHARE = 0.2
# By then one that notices has gone.
ORPHAN_SECONDS = 6.0


async def _scrape(service: processes.Service) -> test_metrics.Scrape:
    async with aiohttp.request("GET", f"{service.admin_url}/metrics") as got:
        return test_metrics.parse(await got.text())


async def test_a_storm_is_shared(database: conftest.Database) -> None:
    """Hundreds of connections in one moment: no worker takes them all."""
    async with workforces.serving(database) as service:
        before = {one.pid: len(trees.sockets(one.pid)) for one in workforces.workers(service)}

        def taken() -> list[int]:
            return [len(trees.sockets(pid)) - count for pid, count in before.items()]

        processes.allow_files(CALLERS + 500)
        with contextlib.ExitStack() as stack:
            for _ in range(CALLERS):
                one = stack.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(("127.0.0.1", service.port))
            await conftest.until(lambda: sum(taken()) >= CALLERS, seconds=30)
            shares = taken()

    assert min(shares) >= LEAST_SHARE * CALLERS, shares


async def _taken_at_once(listener: socket.socket, accepted_at_once: int) -> tuple[int, int]:
    """Of 200 that wait, how many one turn of a worker's loop takes; and how many may wait then."""
    runner = web.AppRunner(web.Application())
    await runner.setup()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        await web.SockSite(runner, listener, backlog=accepted_at_once).start()
        await asyncio.sleep(0)
        left, most = struct.unpack_from("II", listener.getsockopt(socket.IPPROTO_TCP, 11, 104), 24)
        server = runner.server
        assert server is not None
        await conftest.until(lambda: len(server.connections) == 200)
        await runner.cleanup()
    return 200 - left, most


def _most_that_may_wait() -> int:
    """The system has a limit of its own."""
    return min(serve.BACKLOG, int(pathlib.Path("/proc/sys/net/core/somaxconn").read_text()))


async def test_a_worker_takes_few_at_a_time_and_as_many_may_wait() -> None:
    """asyncio has one number for both; here the one is small and the other stays as it was."""
    seen = []

    for kind in (serve.SharedSocket, socket.socket):
        opened = socket.create_server(("127.0.0.1", 0), backlog=serve.BACKLOG)
        listener = kind(fileno=opened.detach())
        seen.append(await _taken_at_once(listener, serve.ACCEPTED_AT_ONCE))

    (taken, waiting), (_, waiting_on_a_plain_one) = seen
    assert taken == serve.ACCEPTED_AT_ONCE
    assert waiting == _most_that_may_wait()
    assert waiting_on_a_plain_one == serve.ACCEPTED_AT_ONCE


async def test_their_numbers_add_up(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """One admin port says for both what one process says for itself, and the sum holds."""
    log = told.Log()
    headers = [{"Authorization": f"Bearer {one.device_token}"} for one in school]
    bodies: list[list[dict[str, object]]] = [test_metrics._pings(20), test_metrics._pings(51)]
    bodies += [[*test_metrics._pings(5), *test_metrics._pings(5, latitude=91)]]

    async with workforces.serving(database, GEOINGEST_MAX_QUEUE_PINGS="50") as service:
        # Each on a connection of its own.
        connector = aiohttp.TCPConnector(force_close=True)
        async with (
            workforces.load(service, school, log),
            aiohttp.ClientSession(connector=connector) as one,
        ):
            for number in range(60):
                body, header = bodies[number % 3], headers[number % len(headers)]
                async with one.post(f"{service.url}/v1/pings", json=body, headers=header) as got:
                    await got.read()
            async with one.get(f"{service.url}/%00") as got:
                await got.read()
        # What was counted, and what is in memory now, is written every half second.
        await asyncio.sleep(2 * serve.SAMPLE_SECONDS)
        async with asyncio.timeout(10):
            while (scrape := await _scrape(service)).value("geoingest_queue_pings"):
                await asyncio.sleep(0.1)
        each = [_received(path) for path in workforces.folder(service).glob("counter_*.db")]

    test_metrics.check_names(scrape)
    settings = database.settings(max_queue_pings=50, workers=2)
    test_metrics.check_zeros(scrape, settings, workers=2)
    test_metrics.check_labels(scrape, {"/v1/pings", "/livez", "/readyz", "/metrics"})
    names = ("received", "stored", "duplicate", "rejected", "refused", "failed")
    received, *ended = (scrape.value(f"geoingest_pings_{name}_total") for name in names)
    assert received == sum(ended) == sum(each)
    assert all(ended[:4])
    assert scrape.value("geoingest_pings_stored_total") >= len(log.ok)
    assert len(each) == 2
    assert all(each)
    assert scrape.value("geoingest_build_info") == 1


def _received(path: pathlib.Path) -> float:
    families = MultiProcessCollector.merge([str(path)])  # type: ignore[no-untyped-call]  # not typed
    (family,) = (one for one in families if one.name == "geoingest_pings_received")
    return float(family.samples[0].value)


@pytest.mark.parametrize("fault", ["", "forgets", "piles_up"])
async def test_a_worker_that_is_killed_comes_back(
    database: conftest.Database, school: list[provision.Enrolled], fault: str
) -> None:
    """kill -9 under load: nothing acknowledged is lost, the numbers go on, the files stay few.

    Where the counts of a dead worker are forgotten, or pile up, the same check says so.
    """
    log, watch = told.Log(), workforces.Watch()

    async with workforces.serving(database, fault=fault) as service:
        files = workforces.files(service)
        async with workforces.load(service, school, log), watch.over(service):
            await workforces.kill_one_by_one(service, log)
        has_piled_up = workforces.files(service) != files
        async with asyncio.timeout(10):
            expected = 2 * database.settings(workers=2).writers_each
            while (await _scrape(service)).value("geoingest_writer_connections") != expected:
                await asyncio.sleep(0.1)

    judge.check(log, database)
    assert log.cut
    assert (bool(watch.fallen), has_piled_up) == (fault == "forgets", fault == "piles_up")


@pytest.mark.parametrize("fault", ["", "cuts", "leaves_a_gap"])
async def test_a_rolling_restart_turns_nobody_away(
    database: conftest.Database, school: list[provision.Enrolled], fault: str
) -> None:
    """SIGHUP under load: all workers are new, no request was cut or refused, it was ready throughout.

    Where the last worker is killed, or ends before the next is there, the same check says so.
    """
    log, watch = told.Log(), workforces.Watch()

    async with (
        workforces.serving(database, fault=fault) as service,
        workforces.load(service, school, log),
        watch.over(service),
    ):
        await workforces.change_all(service)

    judge.check(log, database)
    assert (log.refused, log.count(503)) == (0, 0)
    assert bool(log.cut) == (fault == "cuts")
    # A worker that is killed may be seen to be missing, too, until it has been reaped.
    if fault != "cuts":
        assert (watch.readiness == {(True, "2 of 2")}) == (fault != "leaves_a_gap")
    assert not watch.fallen


async def test_a_next_worker_that_is_not_ready_replaces_nobody(
    database: conftest.Database, school: list[provision.Enrolled]
) -> None:
    """SIGHUP while new connections lack their timeouts: the workers that are there go on."""
    ((name,),) = database.query("SELECT current_database()")
    log = told.Log()

    async with workforces.serving(database) as service:
        before = workforces.workers(service)
        database.administer(f"ALTER ROLE {roles.INGEST} IN DATABASE {name} SET lock_timeout = 0")
        async with workforces.load(service, school, log):
            service.popen.send_signal(signal.SIGHUP)
            await conftest.until(
                lambda: service.output().count("the last one stays") == 2,
                seconds=workforces.CHANGE_SECONDS,
            )
        # And the next ones have gone again.
        await conftest.until(
            lambda: workforces.workers(service) == before, seconds=workforces.CHANGE_SECONDS
        )

    assert (log.cut, log.refused, log.count(503)) == (0, 0, 0)


async def test_workers_that_end_at_once_end_it_all() -> None:
    """A crash loop: exit code 1 and a line that says so; --workers counts more than the setting."""
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "CARELESS": "crashes"}
    ports = {"GEOINGEST_PORT": "0", "GEOINGEST_ADMIN_PORT": "0", "GEOINGEST_WORKERS": "1"}

    with processes.Process(
        *("serve", "--workers", "2"),
        environment={**environment, **ports},
        module=workforces.CARELESS,
    ) as service:
        code = await service.ended(seconds=workforces.CHANGE_SECONDS)
        *_, last = service.output().splitlines()

    assert code == errors.LocalError.exit_code
    assert last == "geoingest: a worker ends again and again; the lines above say why"


async def test_settings_that_no_worker_can_use_end_it_at_once() -> None:
    """A worker's 78 is the whole service's, and is not tried again."""
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "GEOINGEST_WORKERS": "2"}

    with processes.Service(
        {**environment, "CARELESS": "misunderstands"}, module=workforces.CARELESS
    ) as worst:
        code, said = await worst.ended(seconds=workforces.CHANGE_SECONDS), worst.output()
    with processes.Service({**environment, "DATABASE_URL": "mysql://x"}) as bad:
        bad_code, bad_said = await bad.ended(seconds=workforces.CHANGE_SECONDS), bad.output()

    assert (code, bad_code) == (78, 78)
    assert "worker ended" not in said
    assert bad_said.count("geoingest: DATABASE_URL") == 1


async def test_a_worker_that_hangs_is_told_of_and_does_not_hold_the_exit(
    database: conftest.Database,
) -> None:
    """Its callers would wait for nothing: neither alive nor ready, and SIGTERM still ends it in time."""
    async with workforces.serving(database) as service:
        hanging = min(workforces.workers(service), key=lambda one: one.started)
        with trees.standing_still({hanging}):
            alive, told = await asyncio.gather(
                service.status("/livez"), workforces.readiness(service)
            )
            service.terminate()
            code = await service.ended(seconds=EXIT_SECONDS)

    assert (alive, told["ready"], told["workers"]) == (503, False, "1 of 2")
    assert told["loop"] == "a worker does not answer"
    assert code == 0


@pytest.mark.parametrize("fault", ["", "orphans"])
async def test_workers_do_not_outlive_a_killed_supervisor(
    database: conftest.Database, fault: str
) -> None:
    """kill -9 of the supervisor ends them all; where they do not notice, the same check says so."""
    async with workforces.serving(database, fault=fault) as service:
        members = trees.tree(service.popen.pid)
        service.kill()
        with contextlib.suppress(TimeoutError):
            await conftest.until(
                lambda: not trees.left(members),
                seconds=ORPHAN_SECONDS if fault else processes.STOP_SECONDS,
            )
        remaining = len(trees.left(members))
        trees.send(members, signal.SIGKILL)

    assert len(members) == 3
    assert remaining == (2 if fault else 0)


async def test_one_worker_is_one_process(database: conftest.Database) -> None:
    """Without the setting there is no supervisor, nor a file to count in."""
    async with processes.serving(database) as service:
        members = trees.tree(service.popen.pid)
        told = await workforces.readiness(service)

    assert len(members) == 1
    assert "workers" not in told


def test_how_many_is_a_number_or_auto() -> None:
    """Anything else is a usage error."""
    results = [commands.run("serve", "--workers", text) for text in ("0", "-1", "many", "1.5")]

    assert {one.exit_code for one in results} == {2}


def test_a_seat_waits_longer_each_time_and_not_for_ever() -> None:
    """Ends in quick succession: longer pauses, then none; ends far apart are forgotten."""
    hasty, patient = supervisor.Seat(), supervisor.Seat()

    pauses = [hasty.pause_seconds(-9, now=float(now)) for now in range(4)]
    calm = [patient.pause_seconds(-9, now=now * 100.0) for now in range(9)]

    assert pauses[3] > pauses[0] > 0
    assert max(calm) <= 2 * min(calm)
    with pytest.raises(errors.LocalError):
        hasty.pause_seconds(-9, now=4.0)
    with pytest.raises(errors.SettingsError):
        patient.pause_seconds(78, now=0.0)
