"""The sections of bench/README.md about what should not happen: storms, overload, and a long time of faults."""

from __future__ import annotations

from bench.sections import Number, Section

_STORM = (
    Number("connect_slowest_ms", "5,000 connects at once: the slowest answer, ms", "< 3000"),
    Number("connect_refused", "of these answers, 503"),
    Number("connect_stored_seconds", "until the last ping is stored, s"),
    Number("connect_errors", "errors meanwhile", "= 0"),
    Number("connects_dropped", "connects that found the backlog full", "= 0"),
    Number("drain_seconds", "5,000 backlogs at once: until the last is stored, s"),
    Number("drain_pings_per_s", "the same in pings per second"),
    Number("drain_p99_ms", "an accepted request, p99, ms; the first counts from the storm's start"),
    Number("drain_refused", "requests answered 503 meanwhile"),
    Number("drain_errors", "errors meanwhile, refusals not counted", "= 0"),
    Number("return_fullest_to_mean", "refused at once: fullest second of return / mean", "< 2"),
    Number("lost", "acknowledged and not in the table", "= 0"),
    Number("rss_mib", "the service's peak memory, MiB"),
    Number("rss_growth_mib", "of which the backlogs cost, MiB"),
)
STORM = Section(
    "storm",
    "All phones connect in the same moment, without any ramp, and each posts one ping. Then they are"
    " cut off and come back in the same moment with a backlog each, in bodies of 50 to 100 pings; one"
    " phone in ten sends its backlog one ping per request, as many phone apps do. A refused phone"
    " keeps its pings and comes again after `Retry-After`. A run is valid only if every ping was"
    " acknowledged and the table holds exactly these.",
    _STORM,
)
STORM_OF_WORKERS = Section("storm 2 workers", "The same against `--workers 2`.", _STORM)
_LAPS = {
    "stubborn": "single pings, stubborn",
    "bodies": "bodies of 100",
    "slow_stubborn": "slow database, stubborn",
    "slow_obeying": "slow database, obeying",
}
_OF_EACH_LAP = (
    Number("capacity_per_s", "capacity, pings/s"),
    Number("offered_to_capacity", "offered / capacity"),
    Number("goodput_to_capacity", "stored / capacity", ">= 0.9"),
    Number("accepted_p99_ms", "accepted, p99, ms", "< 100"),
    Number("refused_p99_ms", "refused, p99, ms", "< 20"),
    Number(
        "return_fullest_to_mean", "refused in one second: fullest second of return / mean", "< 2"
    ),
    Number("slip_p99_ms", "how late the generators themselves were, p99, ms"),
    Number("rss_growth_mib", "growth of the service's memory, MiB", "< 64"),
)
OVERLOAD = Section(
    "overload",
    "The capacity, closed loop; Poisson starts at three times that, from 5,000 sockets of as many"
    " devices and several generator processes; then the capacity again, and so on for four rounds."
    " What was stored is compared with the mean of the capacities around it, and the median of the"
    " rounds counts; a run is valid only if these are within a quarter of each other. Stubborn phones take a refusal and go on with"
    " the next ping; obeying ones keep it and come again after `Retry-After`. A phone carries one"
    " request at a time: a start for which no phone is free is held, counted and not sent, so"
    " *offered* is what was really written, and it falls short of three times where the answers are"
    " too slow to free the phones: 5,000 of them cannot offer three times what this service takes of"
    " single pings, so that lap shows saturation, in which nothing is refused and the wait is the number"
    " of phones divided by the rate; what overload of single pings does, the slow database shows. Latency counts from the start of each attempt: the schedule's"
    " moment, or the end of the wait that the refusal asked for. The slow database needs a"
    " millisecond more for each row, so that it and not HTTP is the limit. The greedy device posts"
    " 500 times a second beside 1,000/s of 4,999 others; the change is the median over pairs of laps"
    " without and with it.",
    (
        *(
            number._replace(key=f"{lap}_{number.key}", words=f"{words}: {number.words}")
            for lap, words in _LAPS.items()
            for number in _OF_EACH_LAP
        ),
        Number("greedy_others_p99_change", "greedy device: change of the others' p99", "< 0.1"),
        Number("greedy_refused_share", "share of its requests answered 429"),
        Number("errors", "errors, refusals not counted", "= 0"),
        Number("lost", "acknowledged and not in the table", "= 0"),
    ),
)
SOAK = Section(
    "soak",
    "A steady load with reads beside it, and one fault per hundred pings: cut connections, half"
    " bodies, broken JSON, poison among good pings, wrong tokens, duplicates, callers that vanish"
    " before the answer. Memory, open files and asyncio tasks are read every three seconds; of each"
    " quarter minute the least counts, and the first third of the time, at most five minutes, is for"
    " settling. The slope is that of least squares, and what must stay below 1 per minute is the"
    " upper end of its 95 % interval, widened for samples that follow each other. A measured time"
    " under half an hour allows 30 in all instead. The table must hold all that was acknowledged and"
    " nothing that was not sent.",
    (
        Number("rss_mib_slope", "memory, MiB per minute"),
        Number("rss_mib_slope_upper", "the same, upper end of its 95 % interval", "< 1"),
        Number("open_files_slope_upper", "open files per minute, upper end", "< 1"),
        Number("tasks_slope_upper", "asyncio tasks per minute, upper end", "< 1"),
        Number("faults_wrong", "faults answered otherwise than they should be", "= 0"),
        Number("errors", "errors of pings and reads", "= 0"),
        Number("refused", "refused with 503"),
        Number("p99_ms", "ping, answered after its commit, p99, ms"),
        Number("reads_p99_ms", "newest position, p99, ms"),
        Number("rss_mib", "the service's peak memory, MiB"),
    ),
)
