"""Why the certificate of the store's server is refused: libpq says only that it is."""

import socket
import ssl
import struct
from collections.abc import Mapping
from pathlib import Path

import psycopg

REFUSED = "certificate verify failed"
"""What libpq says of a certificate that is refused, whatever the reason."""

_TLS_PLEASE = struct.pack("!ii", 8, 80_877_103)
"""The request for TLS (PostgreSQL's protocol, message SSLRequest)."""

_DEFAULT_ROOT = "~/.postgresql/root.crt"
_PATIENCE = 3.0
"""Seconds."""

_OF_NOBODY = (18, 19, 20, 21)
"""The numbers of OpenSSL for a certificate that no known authority has signed."""


def describe_certificate_fault(error: psycopg.Error) -> str | None:
    """What is wrong with the certificate, found by another handshake with the same server; None: that is not
    known."""
    if error.pgconn is None:
        return None
    given = {
        option.keyword.decode(): option.val.decode()
        for option in error.pgconn.info
        if option.val is not None
    }
    root = given.get("sslrootcert", _DEFAULT_ROOT)
    try:
        _shake_hands(given, root)
    except ssl.SSLCertVerificationError as refusal:
        if refusal.verify_code in _OF_NOBODY:
            return f"no authority in {root} has signed the server's certificate"
        return f"the server's certificate is refused: {refusal.verify_message}"
    except (OSError, LookupError, ValueError):
        pass
    return None


def _shake_hands(given: Mapping[str, str], root: str) -> None:
    """Raises ssl.SSLCertVerificationError for a certificate that is refused."""
    file = None if root == "system" else Path(root).expanduser()
    context = ssl.create_default_context(cafile=file)
    context.check_hostname = False
    host = given["host"]
    address = given.get("hostaddr") or host, int(given["port"])
    with socket.create_connection(address, _PATIENCE) as line:
        line.sendall(_TLS_PLEASE)
        if line.recv(1) == b"S":
            context.wrap_socket(line, server_hostname=host).close()
