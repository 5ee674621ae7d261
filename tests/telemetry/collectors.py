"""OTLP collectors for tests: real ones that keep what they get, and some that do not behave."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support import skip


class Certificate(NamedTuple):
    """A certificate for 127.0.0.1 that vouches for itself."""

    file: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> "Certificate":
        if shutil.which("openssl") is None:
            skip("there is no openssl")
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        )
        command += " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(
            [*command.split(), "-keyout", made.key, "-out", made.file],
            check=True,
            capture_output=True,
        )
        return made


class Received:
    """What came: spans as OTLP has them, resources, and the headers of the last request."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource_spans in request.resource_spans:
            self.resources.append(values(resource_spans.resource.attributes))
            for scope_spans in resource_spans.scope_spans:
                self.spans.extend(scope_spans.spans)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def values(attributes: Any) -> dict[str, Any]:
    """OTLP's attributes as a dict."""
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


class _Service(TraceServiceServicer):
    def __init__(self, received: Received) -> None:
        self._received = received

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self._received.headers = {key: str(value) for key, value in context.invocation_metadata()}
        self._received.take(request)
        return ExportTraceServiceResponse()


@contextmanager
def grpc_collector(
    port: int = 0, certificate: Certificate | None = None
) -> Iterator[tuple[str, Received]]:
    """An OTLP/gRPC receiver; its endpoint, and what it got."""
    received = Received()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(_Service(received), server)  # type: ignore[no-untyped-call]
    address = f"127.0.0.1:{port}"
    if certificate is None:
        port, scheme = server.add_insecure_port(address), "http"
    else:
        pair = (certificate.key.read_bytes(), certificate.file.read_bytes())
        credentials = grpc.ssl_server_credentials([pair])
        port, scheme = server.add_secure_port(address, credentials), "https"
    server.start()
    try:
        yield f"{scheme}://127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is none of our errors."""


@contextmanager
def http_collector(
    port: int = 0, certificate: Certificate | None = None, status: int = 200
) -> Iterator[tuple[str, Received]]:
    """An OTLP/HTTP receiver; with another status it takes nothing."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            received.headers = {key.lower(): value for key, value in self.headers.items()}
            received.headers["path"] = self.path
            if status == 200:
                received.take(ExportTraceServiceRequest.FromString(data))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = _Quiet(("127.0.0.1", port), Handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.file, certificate.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        scheme = "http" if certificate is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


COLLECTORS = {"grpc": grpc_collector, "http": http_collector}


@contextmanager
def bad_collector(answer: bytes | None) -> Iterator[str]:
    """Accepts connections, and says nothing (None) or rubbish."""
    listener = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            accepted.append(connection)
            if answer is not None:
                connection.sendall(answer)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in accepted:
            connection.close()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
