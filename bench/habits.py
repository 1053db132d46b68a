"""The sections of bench/README.md about the apps that people have: what their protocols cost, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import dialects, markdown, protocols
from bench.sections import Number, Section

_OF_EACH_WAY = {
    "requests_per_s": "requests/s",
    "pings_per_s": "pings/s",
    "service_cpu_us_per_ping": "CPU time per ping, us",
    "service_cpu_share": "cores: service",
    "generator_cpu_share": "cores: load generator",
}


def ways(values: Mapping[str, Any]) -> str:
    """A row for each."""
    return markdown.table(
        ["", *_OF_EACH_WAY.values()],
        [
            [one.title, *(markdown.show(values["ways"][one.name][key]) for key in _OF_EACH_WAY)]
            for one in protocols.ALL
        ],
    )


PROTOCOLS = Section(
    "protocols",
    "Closed loop: the same fixes in the protocol of each app and in our own, in turn in each round,"
    " over as many sockets, each request a new ping; medians over the rounds, ratios of requests/s"
    " taken within a round. Bodies of 200 are compared with our own of 200. CPU time is the service's"
    " alone. No replica. At the end the table holds exactly the acknowledged pings.",
    (
        *(
            Number(f"{one.name}_to_native", f"{one.title} / our own", ">= 0.8")
            for one in (*dialects.APPS, dialects.OVERLAND_BATCH)
        ),
        Number("errors", "errors", "= 0"),
    ),
    ways,
)
REPLAY_STORM = Section(
    "replay-storm",
    "All phones have the network again in the same moment, each with a backlog, and all send it as"
    " most apps do: one ping per request, the next as soon as the last is acknowledged. Equally many"
    " phones speak each protocol. A refused phone keeps its ping and comes again after `Retry-After`."
    " A run is valid only if every ping was acknowledged and the table holds each exactly once.",
    (
        Number("seconds", "until the last is stored, s"),
        Number("pings_per_s", "the same in pings per second"),
        Number("p50_ms", "an accepted request, p50, ms"),
        Number("p99_ms", "the same, p99, ms; the first counts from the storm's start"),
        Number("first_max_ms", "until the last phone has its first answer, ms"),
        Number("refused", "requests answered 503"),
        Number("return_fullest_to_mean", "refused at once: fullest second of return / mean", "< 2"),
        Number("errors", "errors, refusals not counted", "= 0"),
        Number("connects_dropped", "connects that found the backlog full", "= 0"),
        Number("lost", "acknowledged and not in the table", "= 0"),
        Number("rss_mib", "the service's peak memory, MiB", "< 200"),
        Number("rss_growth_mib", "of which the storm cost, MiB", "< 64"),
    ),
)
RESEND = Section(
    "resend",
    "Open loop, latency from the intended start: hundreds of phones send points that were all stored"
    " before, one per request to `/v1/gpslogger`, as GPSLogger does with its whole file, while others"
    " post new pings. A run is valid only if at least 99.5 % of both rates were answered, the"
    " generator itself was late by less than 5 ms at p99, and the table holds exactly the points and"
    " the new pings. No replica.",
    (
        Number("p50_ms", "new ping, answered after its commit, p50, ms"),
        Number("p99_ms", "the same, p99, ms", "< 50", "< 10"),
        Number("p999_ms", "the same, p99.9, ms", "", "< 50"),
        Number("achieved_rate", "answered new pings per second"),
        Number("resent_p50_ms", "duplicate, p50, ms"),
        Number("resent_p99_ms", "the same, p99, ms"),
        Number("resent_rate", "answered duplicates per second"),
        Number("service_cpu_share", "cores that the service used"),
        Number("errors", "errors", "= 0"),
    ),
)
