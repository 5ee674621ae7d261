"""The URL of the ledger: what is wrong with it, and what it shows of a password."""

from pathlib import Path

import pytest

from shim.model.ledger_url import LedgerUrl

FILE = "must be like sqlite:///path/file.db, or postgresql://host/database"
FLEET = "must be like postgresql://user:password@host:port/database?sslmode=require; in a user's name and"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("sqlite:///shim.db", None),
        ("sqlite:////var/lib/shim.db", None),
        ("sqlite:///", FILE),
        ("sqlite://shim.db", FILE),
        ("shim.db", FILE),
        ("mysql://db/evidence", FILE),
        ("postgresql://db/evidence", None),
        ("postgres://db", None),
        ("postgresql://[::1]:5432,other:5433/evidence", None),
        ("postgresql://user:p%40ss@db/evidence?sslmode=require&application_name=a", None),
        ("postgresql://user:p@ss@db/evidence", FLEET),
        ("postgresql://user:pa/ss@db/evidence", FLEET),
        ("postgresql://user:p%ss@db/evidence", FLEET),
        ("postgresql://db/evidence?sslmode", FLEET),
        ("postgresql://db/evidence?sslmode=require&password", FLEET),
        ("postgresql://db/evidence?", None),
    ],
)
def test_what_is_wrong_with_a_url(url: str, fault: str | None) -> None:
    found = LedgerUrl(url).fault
    assert (found or "").startswith(fault or "")
    assert (found is None) == (fault is None)
    assert "ss@" not in (found or "")


@pytest.mark.parametrize(
    ("url", "secrets", "shown"),
    [
        ("sqlite:///a@b?password=c.db", (), "sqlite:///a@b?password=c.db"),
        ("postgresql://db/evidence", (), "postgresql://db/evidence"),
        ("postgresql://user@db/evidence", (), "postgresql://db/evidence"),
        ("postgresql://user:one@db/evidence", ("one",), "postgresql://db/evidence"),
        (
            "postgresql://user:one@db/e?password=two&sslmode=a&sslpassword=three&nopassword=x",
            ("one", "two", "three"),
            "postgresql://db/e",
        ),
        ("postgresql://db/e?password=", (), "postgresql://db/e"),
    ],
)
def test_no_password_is_shown(url: str, secrets: tuple[str, ...], shown: str) -> None:
    found = LedgerUrl(url)
    assert (found.secrets, str(found)) == (secrets, shown)
    assert not any(secret in repr(found) for secret in secrets)


def test_a_file_has_a_path_and_a_scheme() -> None:
    url = LedgerUrl.of_file(Path("/var/lib/shim.db"))
    assert (url.url, url.scheme) == ("sqlite:////var/lib/shim.db", "sqlite")
    assert url.path == Path("/var/lib/shim.db")
    assert LedgerUrl("sqlite:///shim.db").path == Path("shim.db")
    assert LedgerUrl("shim.db").scheme == ""
