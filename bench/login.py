"""Guardians log in while phones post: at a rate that fits, at ten times as much, and guessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import click

from bench import bodies, entrances, generator, ingest, open_loop, phones, service, stream, world
from geoingest.access import provision

_SOCKETS = 256
_COMPARED = 100
_GUESSER = "198.51.100.7"


class Plan(NamedTuple):
    """The options; rates are per second, `rush` that of logins which do not fit; laps of `seconds`."""

    devices: int = 5000
    pings: float = 1000.0
    logins: float = 20.0
    rush: float = 200.0
    seconds: float = 30.0
    warmup: float = 5.0


QUICK = Plan(devices=500, pings=200.0, logins=10.0, rush=100.0, seconds=8.0, warmup=2.0)


class _Lap(NamedTuple):
    name: str
    per_second: float
    logins: entrances.Logins


def run(plan: Plan) -> dict[str, object]:
    """The whole measurement: databases with replica, accounts, service, three laps, the count of rows."""
    with world.databases(with_replica=True) as on:
        enrolled = world.enrol(on, plan.devices)
        emails = entrances.seed(on)
        with service.running(on, settings=entrances.SETTINGS) as target:
            ratio = entrances.unknown_to_wrong(
                emails[:_COMPARED], host=target.host, port=target.port
            )
            laps = [
                _Lap("fits", plan.logins, entrances.Logins(emails, port=target.port)),
                _Lap("rush", plan.rush, entrances.Logins(emails, port=target.port)),
                _Lap("guessed", plan.rush, _guesses(emails, port=target.port)),
            ]
            loads = {one.name: _lap(plan, target, enrolled, one) for one in laps}
        rows = world.count_rows(on)
    acknowledged = sum(one.outcomes["pings"].acknowledged for one in loads.values())
    return {
        **{
            f"{name}_{key}": value
            for name, load in loads.items()
            for key, value in _values(load).items()
        },
        "unknown_to_wrong": ratio,
        "errors": sum(one.errors for load in loads.values() for one in load.outcomes.values()),
        "valid": rows == acknowledged
        and all(one.kept_schedule for one in loads.values())
        and loads["fits"].outcomes["logins"].per_second >= open_loop.LEAST_RATE_SHARE * plan.logins,
        "rows": rows,
        "acknowledged": acknowledged,
        "postgresql": on.servers.version,
    }


def _guesses(emails: Sequence[str], *, port: int) -> entrances.Logins:
    return entrances.Logins(emails, port=port, password=entrances.WRONG, address=_GUESSER)


def _lap(
    plan: Plan, target: service.Service, enrolled: Sequence[provision.Enrolled], one: _Lap
) -> open_loop.Load:
    click.echo(
        f"{one.name}: {one.per_second:g} logins/s and {plan.pings:g} pings/s from"
        f" {plan.devices} sockets for {plan.seconds:g} s",
        err=True,
    )
    singles = bodies.Singles([each.device_token for each in enrolled], port=target.port)
    load = generator.run(
        open_loop.run,
        open_loop.Plan(
            target.host,
            target.port,
            target.pid,
            [
                stream.Stream("pings", plan.pings, plan.devices, singles, (ingest.STORED,)),
                stream.Stream(
                    "logins",
                    one.per_second,
                    _SOCKETS,
                    one.logins,
                    (entrances.LOGGED_IN,),
                    (401, *phones.REFUSALS),
                ),
            ],
            plan.warmup,
            plan.seconds,
        ),
    )
    click.echo(f"  {_values(load)}", err=True)
    return load


def _values(load: open_loop.Load) -> dict[str, object]:
    pings, logins = load.outcomes["pings"], load.outcomes["logins"]
    return {
        **{f"pings_{name}": value for name, value in pings.latency.items()},
        **logins.latency,
        "per_s": logins.per_second,
        "statuses": logins.statuses,
        "refused": sum(logins.statuses.get(one, 0) for one in phones.REFUSALS),
        "slip_p99_ms": load.slip_p99_ms,
        "service_cpu_share": load.service_cpu_share,
        "generator_cpu_share": load.own_cpu_share,
    }
