"""Settings come from the environment, checked: a typo or nonsense stops the start, by name."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import pytest

from geoingest import config, errors


def test_workers_are_counted() -> None:
    """A number is itself; auto is one for each core, however many this process may use."""
    assert config.Config().worker_count == 1
    assert config.Config(workers=3).worker_count == 3
    assert 1 <= config.Config(workers="auto").worker_count <= (os.cpu_count() or 1)


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing needs to be set, and an empty value is as good as none."""
    assert config.load({}) == config.Config()
    assert config.load({"GEOINGEST_PORT": "", "DATABASE_URL": ""}) == config.Config()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("DATABASE_URL", "postgresql://here/school", "database_url", "postgresql://here/school"),
        ("GEOINGEST_PORT", "8181", "port", 8181),
        ("GEOINGEST_PORT", "0", "port", 0),
        ("GEOINGEST_MAX_LAG_SECONDS", "0.25", "max_lag_seconds", 0.25),
        ("GEOINGEST_MAX_LAG_SECONDS", "2", "max_lag_seconds", 2.0),
        ("GEOINGEST_LOG_FORMAT", "json", "log_format", "json"),
        ("GEOINGEST_WORKERS", "4", "workers", 4),
        ("GEOINGEST_WORKERS", "auto", "workers", "auto"),
        ("GEOINGEST_POOLER", "transaction", "pooler", "transaction"),
    ],
)
def test_each_type_is_read_from_text(name: str, text: str, field: str, value: object) -> None:
    """Text, whole numbers, fractions and words of a closed list."""
    found = config.load({name: text, "PATH": "/bin", "GEO": "other programs' business"})

    assert found == dataclasses.replace(config.Config(), **{field: value})  # type: ignore[arg-type]
    assert type(getattr(found, field)) is type(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GEOINGEST_PORT", "eighty"),
        ("GEOINGEST_PORT", "80.5"),
        ("GEOINGEST_PORT", "-1"),
        ("GEOINGEST_PORT", "65536"),
        ("GEOINGEST_ADMIN_PORT", "100000"),
        ("GEOINGEST_WRITERS", "0"),
        ("GEOINGEST_WORKERS", "0"),
        ("GEOINGEST_WORKERS", "many"),
        ("GEOINGEST_DETAIL_DAYS", "-90"),
        ("GEOINGEST_MAX_LAG_SECONDS", "0"),
        ("GEOINGEST_MAX_LAG_SECONDS", "soon"),
        ("GEOINGEST_MAX_LAG_SECONDS", "nan"),
        ("GEOINGEST_WRITE_TIMEOUT_SECONDS", "inf"),
        ("GEOINGEST_LOG_LEVEL", "loud"),
        ("GEOINGEST_POOLER", "session"),
        ("GEOINGEST_LOG_FORMAT", "JSON"),
    ],
)
def test_nonsense_stops_the_start_and_names_the_setting(name: str, text: str) -> None:
    """Wrong type, out of range, or not one of the words: exit code 78 and the variable's name."""
    with pytest.raises(errors.SettingsError, match=name) as caught:
        config.load({name: text})

    assert caught.value.exit_code == 78


ISSUER = {
    "GEOINGEST_OIDC_ISSUER": "https://id.example.org",
    "GEOINGEST_OIDC_AUDIENCE": "geoingest",
}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"GEOINGEST_OIDC_ALGORITHMS": "none"}, "ALGORITHMS"),
        ({"GEOINGEST_OIDC_ALGORITHMS": "RS256,HS256"}, "ALGORITHMS"),
        ({"GEOINGEST_OIDC_ALGORITHMS": "RS256,"}, "ALGORITHMS"),
        ({"GEOINGEST_OIDC_ALGORITHMS": "rs256"}, "ALGORITHMS"),
        ({"GEOINGEST_OIDC_AUDIENCE": ""}, "AUDIENCE is missing"),
        ({"GEOINGEST_OIDC_ISSUER": ""}, "ISSUER is missing"),
        ({"GEOINGEST_OIDC_ISSUER": "http://id.example.org"}, "ISSUER"),
        ({"GEOINGEST_OIDC_ISSUER": "id.example.org"}, "ISSUER"),
        ({"GEOINGEST_OIDC_ISSUER": "https://[id"}, "ISSUER"),
        ({"GEOINGEST_OIDC_JWKS_URL": "http://id.example.org/keys"}, "JWKS_URL"),
        ({"GEOINGEST_OIDC_JWKS_URL": "file:///etc/keys"}, "JWKS_URL"),
    ],
)
def test_an_issuer_that_could_not_be_trusted_stops_the_start(
    changes: dict[str, str], name: str
) -> None:
    """Signatures that need a secret or none, tokens for anybody, and ways on which keys could be changed."""
    with pytest.raises(errors.SettingsError, match=name) as caught:
        config.load({**ISSUER, **changes})

    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"GEOINGEST_OIDC_ALGORITHMS": "PS256, ES512"},
        {"GEOINGEST_OIDC_ISSUER": "http://127.0.0.1:8180/realms/school"},
        {"GEOINGEST_OIDC_JWKS_URL": "https://id.example.org/keys"},
    ],
)
def test_an_issuer_is_taken(changes: dict[str, str]) -> None:
    """With https, or on this machine."""
    found = config.load({**ISSUER, **changes})

    assert found.oidc_algorithm_names in {("RS256", "ES256", "EdDSA"), ("PS256", "ES512")}


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("GEOINGEST_WRITER", "did you mean GEOINGEST_WRITERS?"),
        ("GEOINGEST_MAX_LAG_SECOND", "did you mean GEOINGEST_MAX_LAG_SECONDS?"),
        ("GEOINGEST_XYZZY", "lists them"),
    ],
)
def test_an_unknown_name_stops_the_start(typo: str, meant: str) -> None:
    """A typo must not run with a default; the nearest name is suggested."""
    with pytest.raises(errors.SettingsError) as caught:
        config.load({typo: ""})

    assert str(caught.value).startswith(f"{typo} is not a setting")
    assert meant in str(caught.value)


def test_every_setting_has_a_name_a_default_and_words() -> None:
    """Environment names are ours or the database's, and none stands for two settings."""
    fields = dataclasses.fields(config.Config)
    names = [field.metadata["env"] for field in fields]

    assert len(set(names)) == len(names)
    assert all(name.startswith((config.PREFIX, "DATABASE_")) for name in names)
    assert all(field.metadata["words"] for field in fields)
    assert dataclasses.is_dataclass(config.Config())


def test_urls_of_a_running_up_are_used(tmp_path: pathlib.Path) -> None:
    """Without DATABASE_URL the other commands find the embedded databases by urls.env."""
    _write_urls(tmp_path)
    settings = config.load({"GEOINGEST_DATA_DIR": str(tmp_path)})

    found = config.with_urls(settings)

    assert (found.database_url, found.database_replica_url) == ("p?host=/x&port=1", "r")
    assert found.database_direct_url == "d"
    assert found.data_dir == settings.data_dir


def test_a_database_url_wins_over_urls_env(tmp_path: pathlib.Path) -> None:
    """Whoever names a database gets that one and nothing of another's."""
    _write_urls(tmp_path)
    settings = config.load({"GEOINGEST_DATA_DIR": str(tmp_path), "DATABASE_URL": "mine"})

    assert config.with_urls(settings) == settings


def test_without_urls_env_nothing_changes(tmp_path: pathlib.Path) -> None:
    """No `up` has run here."""
    settings = config.load({"GEOINGEST_DATA_DIR": str(tmp_path)})

    assert config.with_urls(settings) == settings


def _write_urls(folder: pathlib.Path) -> None:
    (folder / config.URLS_FILE).write_text(
        "DATABASE_URL=p?host=/x&port=1\nDATABASE_REPLICA_URL=r\nDATABASE_DIRECT_URL=d\n"
    )
