"""Settings: environment names, types, units and defaults in one frozen value."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import typing
import urllib.parse
from collections.abc import Mapping

import msgspec
import platformdirs

from geoingest import errors

PREFIX = "GEOINGEST_"
URLS_FILE = "urls.env"
# Whoever verifies by one of these knows no secret; so none of them can be signed for by us.
SIGNATURES = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)


def _setting(
    env: str, default: object, words: str, *, most: float = 1e18
) -> typing.Any:  # a dataclass field
    return dataclasses.field(default=default, metadata={"env": env, "words": words, "most": most})


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    """Every setting; README's table is proven equal to this class by a test."""

    database_url: str = _setting("DATABASE_URL", "", "primary; may be a pooler")
    database_read_url: str = _setting(
        "DATABASE_READ_URL", "", "primary, as the role that only reads; default: DATABASE_URL"
    )
    database_replica_url: str = _setting(
        "DATABASE_REPLICA_URL", "", "streaming replica for reads; without one the primary answers"
    )
    database_direct_url: str = _setting(
        "DATABASE_DIRECT_URL", "", "primary without a pooler, for migrations and jobs"
    )
    pooler: typing.Literal["none", "transaction"] = _setting(
        "GEOINGEST_POOLER", "none", "mode of the pooler that the first three lead through"
    )
    host: str = _setting("GEOINGEST_HOST", "127.0.0.1", "address of both ports")
    port: int = _setting("GEOINGEST_PORT", 8080, "public port: phones and guardians")
    admin_port: int = _setting("GEOINGEST_ADMIN_PORT", 9090, "metrics and health")
    jobs_port: int = _setting("GEOINGEST_JOBS_PORT", 0, "metrics of `geoingest jobs`; 0: none")
    data_dir: str = _setting(
        "GEOINGEST_DATA_DIR", "", "embedded databases; default: the user's data folder"
    )
    workers: int | typing.Literal["auto"] = _setting(
        "GEOINGEST_WORKERS",
        1,
        "processes that share the public port, or auto: one for each core; each has the connections "
        "and limits below to itself",
    )
    writers: int = _setting(
        "GEOINGEST_WRITERS",
        2,
        "connections that write batches; workers share them, at least one each",
    )
    max_batch_pings: int = _setting(
        "GEOINGEST_MAX_BATCH_PINGS", 2000, "a batch takes no further request beyond this"
    )
    max_queue_pings: int = _setting(
        "GEOINGEST_MAX_QUEUE_PINGS", 50000, "pings waiting in memory before new ones are refused"
    )
    max_queue_bytes: int = _setting(
        "GEOINGEST_MAX_QUEUE_BYTES", 67108864, "the same limit in bytes of request bodies"
    )
    max_queue_age_seconds: float = _setting(
        "GEOINGEST_MAX_QUEUE_AGE_SECONDS", 1.0, "the same limit in seconds the oldest has waited"
    )
    busy_wait_seconds: float = _setting(
        "GEOINGEST_BUSY_WAIT_SECONDS",
        0.03,
        "overload: no more is taken than is written in this time",
    )
    max_body_bytes: int = _setting("GEOINGEST_MAX_BODY_BYTES", 2097152, "one request, decompressed")
    max_body_pings: int = _setting("GEOINGEST_MAX_BODY_PINGS", 5000, "one request")
    body_timeout_seconds: float = _setting(
        "GEOINGEST_BODY_TIMEOUT_SECONDS",
        8.0,
        "for the headers, and from there to the last byte of the body",
    )
    device_requests_per_second: float = _setting(
        "GEOINGEST_DEVICE_REQUESTS_PER_SECOND",
        50.0,
        "one device's rate; after a silence ten seconds of it at once",
    )
    viewer_requests_per_second: float = _setting(
        "GEOINGEST_VIEWER_REQUESTS_PER_SECOND",
        20.0,
        "one viewer's rate, and one share's; after a silence ten seconds of it at once",
    )
    school_questions: int = _setting(
        "GEOINGEST_SCHOOL_QUESTIONS",
        8,
        "questions of one school's viewers at once; below the readers, so that no other school waits",
    )
    app_interval_seconds: int = _setting(
        "GEOINGEST_APP_INTERVAL_SECONDS",
        0,
        "how often OwnTracks and Overland are told to send; 0: as their users set them",
    )
    keepalive_seconds: float = _setting(
        "GEOINGEST_KEEPALIVE_SECONDS", 75.0, "an idle connection is closed after this"
    )
    write_timeout_seconds: float = _setting(
        "GEOINGEST_WRITE_TIMEOUT_SECONDS", 5.0, "one batch, from BEGIN to COMMIT"
    )
    read_timeout_seconds: float = _setting("GEOINGEST_READ_TIMEOUT_SECONDS", 5.0, "one read query")
    readers: int = _setting(
        "GEOINGEST_READERS", 10, "connections for reads, to each of replica and primary"
    )
    max_lag_seconds: float = _setting(
        "GEOINGEST_MAX_LAG_SECONDS", 5.0, "a replica further behind is not asked"
    )
    # As many months of partitions; and no receiver's clock is right before 1999.
    detail_days: int = _setting(
        "GEOINGEST_DETAIL_DAYS",
        90,
        "age up to which pings are taken; up to 10000 for tracks of many years",
        most=10_000,
    )
    max_future_seconds: float = _setting(
        "GEOINGEST_MAX_FUTURE_SECONDS", 300.0, "how far ahead a device's clock may be"
    )
    rollup_days: int = _setting(
        "GEOINGEST_ROLLUP_DAYS", 365, "age up to which hours and days are kept"
    )
    rejected_days: int = _setting("GEOINGEST_REJECTED_DAYS", 30, "age up to which rejects are kept")
    lookup_days: int = _setting(
        "GEOINGEST_LOOKUP_DAYS", 365, "age up to which it is kept who looked", most=10_000
    )
    session_days: int = _setting(
        "GEOINGEST_SESSION_DAYS", 30, "a session ends so long after its login; 30 at most", most=30
    )
    session_idle_days: int = _setting(
        "GEOINGEST_SESSION_IDLE_DAYS", 7, "a session ends when it was not used for so long", most=30
    )
    logins_per_second: float = _setting(
        "GEOINGEST_LOGINS_PER_SECOND",
        1.0,
        "one account's rate from one address, also with the right password; ten seconds of it at once",
    )
    trusted_proxies: str = _setting(
        "GEOINGEST_TRUSTED_PROXIES",
        "",
        "addresses and networks of proxies, as 10.0.0.7,10.1.0.0/16, whose X-Forwarded-For is believed",
    )
    archive_dir: str = _setting(
        "GEOINGEST_ARCHIVE_DIR",
        "",
        "folder for a Parquet file of each day, before its pings are deleted; empty: no archive",
    )
    erasure_ledger: str = _setting(
        "GEOINGEST_ERASURE_LEDGER",
        "",
        "file that says who was erased, for after a restore; keep it elsewhere than the backups; "
        "default: erasures.jsonl in the data folder",
    )
    oidc_issuer: str = _setting(
        "GEOINGEST_OIDC_ISSUER",
        "",
        "issuer (`iss`) of the platform's tokens, by which viewers come in; empty: none are taken",
    )
    oidc_audience: str = _setting(
        "GEOINGEST_OIDC_AUDIENCE",
        "",
        "what these tokens must be for (`aud`); needed with an issuer",
    )
    oidc_jwks_url: str = _setting(
        "GEOINGEST_OIDC_JWKS_URL", "", "the issuer's keys; default: where its discovery says"
    )
    oidc_algorithms: str = _setting(
        "GEOINGEST_OIDC_ALGORITHMS", "RS256,ES256,EdDSA", "how these tokens may be signed"
    )
    shutdown_seconds: float = _setting(
        "GEOINGEST_SHUTDOWN_SECONDS", 4.5, "for answering what was read before a stop"
    )
    log_format: typing.Literal["text", "json"] = _setting(
        "GEOINGEST_LOG_FORMAT", "text", "text or json, on stderr"
    )
    log_level: typing.Literal["debug", "info", "warning", "error"] = _setting(
        "GEOINGEST_LOG_LEVEL", "info", "debug, info, warning or error"
    )

    @property
    def folder(self) -> pathlib.Path:
        """Where the embedded databases live."""
        return pathlib.Path(self.data_dir) if self.data_dir else default_folder()

    @property
    def ledger(self) -> pathlib.Path:
        """The file that outlives a restored database."""
        return (
            pathlib.Path(self.erasure_ledger)
            if self.erasure_ledger
            else self.folder / "erasures.jsonl"
        )

    @property
    def oidc_algorithm_names(self) -> tuple[str, ...]:
        """The signatures that are taken."""
        return tuple(name.strip() for name in self.oidc_algorithms.split(","))

    @property
    def worker_count(self) -> int:
        """How many processes serve: as asked for, or one for each core this process may use."""
        if self.workers != "auto":
            return self.workers
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def writers_each(self) -> int:
        """How many of the writers one process has: fewer, larger batches cost the database less."""
        return max(1, self.writers // self.worker_count)

    @property
    def is_pooled(self) -> bool:
        """True when no two statements need meet the same session."""
        return self.pooler == "transaction"

    @property
    def read_url(self) -> str:
        """Where the primary is asked."""
        return self.database_read_url or self.database_url

    @property
    def direct_url(self) -> str:
        """Where a session lasts, for locks and long work; SettingsError when only a pooler is known."""
        if self.is_pooled and not self.database_direct_url:
            raise errors.SettingsError(
                "DATABASE_DIRECT_URL is missing: with GEOINGEST_POOLER=transaction this needs a way"
                " to the primary past the pooler"
            )
        return self.database_direct_url or self.database_url


def default_folder() -> pathlib.Path:
    """The platform's data folder; for root the site's, which the database's own user can reach."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return pathlib.Path("/var/lib/geoingest")
    return platformdirs.user_data_path("geoingest", appauthor=False)


def load(environment: Mapping[str, str]) -> Config:
    """Reads the environment; SettingsError names the variable and what it should be."""
    known = {field.metadata["env"]: field for field in dataclasses.fields(Config)}
    for name in environment:
        if name.startswith(PREFIX) and name not in known:
            close = _closest(name, list(known))
            raise errors.SettingsError(f"{name} is not a setting{close}")
    types = typing.get_type_hints(Config)
    values: dict[str, object] = {}
    for name, field in known.items():
        text = environment.get(name, "")
        if text:
            values[field.name] = _convert(name, text, types[field.name])
    config = Config(**values)  # type: ignore[arg-type]  # each value was converted to its field's type
    _check_ranges(config)
    _check_issuer(config)
    return config


def with_urls(config: Config) -> Config:
    """Adds the URLs that a running `geoingest up` has written, where no DATABASE_URL is set."""
    path = config.folder / URLS_FILE
    if config.database_url or not path.is_file():
        return config
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    urls = dict(pairs)
    return dataclasses.replace(
        config,
        database_url=urls.get("DATABASE_URL", ""),
        database_read_url=config.database_read_url or urls.get("DATABASE_READ_URL", ""),
        database_replica_url=config.database_replica_url or urls.get("DATABASE_REPLICA_URL", ""),
        database_direct_url=config.database_direct_url or urls.get("DATABASE_DIRECT_URL", ""),
    )


def _convert(name: str, text: str, kind: type) -> object:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as exc:
        raise errors.SettingsError(f"{name}={text!r}: {str(exc).lower()}") from exc


def _check_ranges(config: Config) -> None:
    for field in dataclasses.fields(Config):
        value = getattr(config, field.name)
        # Port 0 asks the system for a free one; another number that may be 0 is so by default.
        least = 0 if field.name.endswith("port") or field.default == 0 else 1e-9
        most = 65_535 if field.name.endswith("port") else field.metadata["most"]
        # Not so either for nan.
        if isinstance(value, int | float) and not least <= value <= most:
            raise errors.SettingsError(f"{field.metadata['env']}={value} is out of range")


def _check_issuer(config: Config) -> None:
    for name, url in (
        ("GEOINGEST_OIDC_ISSUER", config.oidc_issuer),
        ("GEOINGEST_OIDC_JWKS_URL", config.oidc_jwks_url),
    ):
        if url and not is_private(url):
            raise errors.SettingsError(f"{name}={url!r}: https://.., or http:// on this machine")
    if config.oidc_issuer and not config.oidc_audience:
        raise errors.SettingsError("GEOINGEST_OIDC_AUDIENCE is missing: an issuer signs for many")
    if not config.oidc_issuer and (config.oidc_audience or config.oidc_jwks_url):
        raise errors.SettingsError("GEOINGEST_OIDC_ISSUER is missing: without it no token is taken")
    for name in config.oidc_algorithm_names:
        if name not in SIGNATURES:
            known = ", ".join(sorted(SIGNATURES))
            raise errors.SettingsError(f"GEOINGEST_OIDC_ALGORITHMS: {name!r} is none of {known}")


def is_private(url: str) -> bool:
    """True where nobody on the way can put in other words: https, or http that stays on this machine."""
    try:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if parts.scheme == "http":
        return host in {"127.0.0.1", "::1", "localhost"}
    return parts.scheme == "https" and bool(host)


def _closest(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415  # only a typo pays for it

    # Without the prefix, which alone would make any two names alike.
    ours = [one.removeprefix(PREFIX) for one in known if one.startswith(PREFIX)]
    match = difflib.get_close_matches(name.removeprefix(PREFIX), ours, n=1)
    return f"; did you mean {PREFIX}{match[0]}?" if match else "; the README lists them all"


@functools.cache
def sql_folder() -> pathlib.Path:
    """The SQL files: inside an installed package, beside it in a checkout."""
    package = pathlib.Path(__file__).parent
    inside = package / "sql"
    return inside if inside.is_dir() else package.parent / "sql"
