"""The real app client, `@mentra/sdk`: installed once, driven by `client.mjs`."""

import os
import tempfile
from pathlib import Path

from tests.sdk.node_client import NodeClient
from tests.sdk.packages import npm_folder

VERSION = "2.1.29"
CLIENT = Path(__file__).with_name("client.mjs")


def find_or_install() -> Path:
    """The folder that holds the SDK: `SHIM_SDK_DIR`, or one below the temp folder, by version."""
    default = Path(tempfile.gettempdir()) / f"shim-sdk-{VERSION}-{os.getuid()}"
    return npm_folder(
        f"@mentra/sdk@{VERSION}", folder=Path(os.environ.get("SHIM_SDK_DIR") or default)
    )


class AppClient(NodeClient):
    """One app of one user.

    Events: `connecting`, `connected` (acknowledged by the server), `disconnected` (code, reason,
    clean, permanent, session_ended), `reconnect` (another attempt begins), `error`, `refused`
    (the first attempt was not acknowledged in time), `button_press`, `left`, `crash`.
    """

    def __init__(
        self,
        url: str,
        user: str,
        package: str = "com.example.app1",
        *,
        api_key: str = "dev",
        sdk: Path,
    ) -> None:
        options = {"sdk": str(sdk), "url": url, "session": f"{user}-{package}", "package": package}
        super().__init__(CLIENT, {**options, "user": user, "api-key": api_key})
