"""A real nginx in front of a console, with the configuration of the documentation or with a careless one."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support import skip
from tests.telemetry.collectors import Certificate
from tests.waiting import until

SECURITY = Path(__file__).parents[2] / "docs" / "security.md"

_MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""


def documented(folder: Path, port: int, sockets: str, console: str) -> str:
    """The configuration that the documentation shows, with these addresses instead."""
    (block,) = re.findall(r"```nginx\n(.*?)```", SECURITY.read_text(), re.S)
    certificate = Certificate.make(folder, "nginx")
    listen = (
        f"listen 127.0.0.1:{port} ssl; ssl_certificate {certificate.file}; "
        f"ssl_certificate_key {certificate.key};"
    )
    for shown, real in (
        ("listen 443 ssl;", listen),
        ("http://127.0.0.1:8080", sockets),
        ("http://127.0.0.1:8081", console),
    ):
        assert shown in block
        block = block.replace(shown, real)
    return str(block)


def careless(port: int, console: str) -> str:
    """The shortest configuration; it passes on whatever the visitor says."""
    return f"""
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {console}; proxy_set_header Host $http_host; }}
        location /plain/ {{ proxy_pass {console}/; }}
    }}"""


@asynccontextmanager
async def nginx(folder: Path, servers: str, port: int) -> AsyncIterator[None]:
    """It listens on this port as long as the context lasts."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        skip("there is no nginx")
    file = folder / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    file.write_text(_MAIN.format(folder=folder, user=user, servers=servers))
    process = await asyncio.create_subprocess_exec(
        program, "-p", str(folder), "-c", str(file), stderr=asyncio.subprocess.PIPE
    )
    try:

        async def accepts() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                assert process.returncode is None, (folder / "error.log").read_text()
                return False
            writer.close()
            return True

        await until(accepts, pause=0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
