"""TLS to the store, as libpq has it: what is right works, and what is wrong is said in words."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from tests.postgres.helpers import FLEET
from tests.postgres.server import PASSWORD, PostgresServer
from tests.postgres.test_bad_stores import ORDERING, folder, refused, run
from tests.support import skip
from tests.waiting import wait_for

__all__ = ["folder"]

GOOD, EXPIRED = "good", "expired"
_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
SOME = (
    "gate --ledger URL",
    "report --ledger URL --json",
    "status --ledger URL",
    "rollout status --config shim.yaml",
    ORDERING[0],
    ORDERING[2],
    "ledger init URL",
    "ledger push one.db URL",
    "serve --dev --port 0 --config shim.yaml",
)


class TlsServer:
    """The server of all tests, on which TLS is on for a while.

    `folder` has the certificates of two authorities, `ca` and `stranger`.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._database = server.create_database()
        self.folder = server.folder / "tls"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        for name in ("ca", "stranger"):
            self._openssl(
                f"req -x509 {_KEY} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt"
            )
        self._openssl(f"req {_KEY} -subj /CN=localhost -keyout server.key -out server.csr")
        for name, days in ((GOOD, 2), (EXPIRED, -1)):
            signed = f"-CA ca.crt -CAkey ca.key -CAcreateserial -days {days} -out {name}.crt"
            self._openssl(f"x509 -req -in server.csr {signed}")
        # The account that the server runs as has to own its key.
        owner = server.folder.stat()
        os.chown(self.folder / "server.key", owner.st_uid, owner.st_gid)

    def url(self, mode: str = "verify-full", host: str = "localhost", root: str = "ca") -> str:
        url = self._server.url(self._database).replace("127.0.0.1", host)
        return f"{url}?sslmode={mode}&sslrootcert={self.folder}/{root}.crt"

    def show(self, certificate: str | None) -> None:
        """Let the server have this certificate from now on; None: no TLS, as before."""
        with self._server.connect() as connection:
            if certificate is None:
                connection.execute("ALTER SYSTEM RESET ALL")
            else:
                for name, value in (
                    ("ssl_cert_file", f"{self.folder}/{certificate}.crt"),
                    ("ssl_key_file", f"{self.folder}/server.key"),
                    ("ssl", "on"),
                ):
                    connection.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")
        # The reload was asked for, and is done a little later.
        wait_for(lambda: self._seen() == certificate)

    def _seen(self) -> str | None:
        """The certificate that a client is shown."""
        try:
            psycopg.connect(self.url()).close()
        except psycopg.OperationalError as error:
            return None if "does not support SSL" in str(error) else EXPIRED
        return GOOD

    def _openssl(self, command: str) -> None:
        subprocess.run(
            ["openssl", *command.split()], check=True, capture_output=True, cwd=self.folder
        )


@pytest.fixture(scope="module")
def tls(server: PostgresServer) -> Iterator[TlsServer]:
    if shutil.which("openssl") is None:
        skip("there is no openssl")
    tls = TlsServer(server)
    tls.show(GOOD)
    yield tls
    tls.show(None)


def test_with_the_right_authority_and_name(tls: TlsServer, folder: Path) -> None:
    url = tls.url()
    made = run(f"ledger init URL --fleet {FLEET}", url)
    assert made.exit_code == 0, made.output
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert found.fetchone() == (True,)
    for command, code in (
        ("gate --ledger URL", 3),
        ("report --ledger URL", 0),
        ("flags push rollout.yaml --ledger URL --reason why", 0),
        ("flags log --ledger URL", 0),
        ("ledger push one.db URL", 0),
        ("brake status --ledger URL", 0),
    ):
        result = run(command, url)
        assert result.exit_code == code, result.output
        assert PASSWORD not in result.output
    doctor = run("doctor --config shim.yaml", url)
    assert "bad" not in [line.split()[0] for line in doctor.stdout.splitlines() if line.strip()]


WRONG = {
    "another name": ({"host": "127.0.0.1"}, 'does not match host name "127.0.0.1"'),
    "another authority": ({"root": "stranger"}, "no authority in"),
    "another authority, any name": ({"root": "stranger", "mode": "verify-ca"}, "no authority in"),
    "no file of authorities": ({"root": "missing"}, "missing.crt"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(tls: TlsServer, folder: Path, case: str) -> None:
    options, told = WRONG[case]
    for command in SOME if case == "another authority" else SOME[::4]:
        refused(command, tls.url(**options), told)
    doctor_says(tls.url(**options), told)


@pytest.mark.parametrize(
    ("certificate", "told"), [(EXPIRED, "certificate has expired"), (None, "does not support SSL")]
)
def test_a_server_that_proves_nothing(
    tls: TlsServer, folder: Path, certificate: str | None, told: str
) -> None:
    tls.show(certificate)
    try:
        for command in SOME[::4]:
            refused(command, tls.url(), told)
        doctor_says(tls.url(), told)
    finally:
        tls.show(GOOD)


def doctor_says(url: str, told: str) -> None:
    result = run("doctor --config shim.yaml", url)
    assert result.exit_code == 1
    words = "".join(result.stdout.split())
    assert told.replace(" ", "") in words
    assert PASSWORD.replace(" ", "") not in words
    assert quote(PASSWORD, safe="") not in words
