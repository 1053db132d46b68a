"""Which database a command works on."""

from __future__ import annotations

from geoingest import config, db, errors


def require(settings: config.Config) -> config.Config:
    """Settings with the database that is named, or that a running `geoingest up` has; else SettingsError."""
    found = config.with_urls(settings)
    if not found.database_url:
        raise errors.SettingsError(
            "no database: set DATABASE_URL, or start the embedded one with: geoingest up"
        )
    for name, url in (
        ("DATABASE_URL", found.database_url),
        ("DATABASE_READ_URL", found.database_read_url),
        ("DATABASE_REPLICA_URL", found.database_replica_url),
        ("DATABASE_DIRECT_URL", found.database_direct_url),
    ):
        if url:
            db.check_url(name, url)
    return found


def direct_url(settings: config.Config) -> str:
    """The way to its primary past any pooler."""
    return require(settings).direct_url
