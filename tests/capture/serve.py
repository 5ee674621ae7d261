"""A captured reference server in a process of its own: `python -m tests.capture.serve FOLDER STAGE`.

It captures to FOLDER/capture-….jsonl and, when it is stopped, has written FOLDER/live.json: the verdicts
of the live run, their times in seconds from the control's start, and the number of pauses noticed.
"""

import json
import sys
from functools import partial
from pathlib import Path

from aiohttp import web

import shim.server.app
from shim.capture import Limits
from shim.cli.serve import listen
from shim.discovery import monitor_types, plugin_manager
from shim.flags import everyone_at
from shim.model import Stage, Time, Verdict, seconds
from shim.replay.result import verdict_row
from shim.router import Observer
from shim.settings import load_settings
from tests.capture.recording import RecordingShim
from tests.live.servers import SECRETS


class Verdicts(Observer):
    def __init__(self) -> None:
        self.all: list[Verdict] = []
        self.pauses = 0

    def verdict(self, verdict: Verdict) -> None:
        self.all.append(verdict)

    def paused(self, start: Time, end: Time) -> None:
        self.pauses += 1


def main(folder: Path, stage: Stage) -> None:
    settings = load_settings(folder / "shim.yaml", monitor_types(plugin_manager()))
    shim.server.app.Shim = partial(RecordingShim, folder / "capture.jsonl", Limits())  # type: ignore
    live = Verdicts()
    app = shim.server.app.make_app(settings, SECRETS, everyone_at(stage).evaluate, [live])
    sock = listen("127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    web.run_app(app, sock=sock, print=None, access_log=None)
    # A peer whose verdict comes with the very end of the process is told, too: all is over here.
    (folder / "live.json").write_text(
        json.dumps(
            {
                "start": seconds(app[shim.server.app.SHIM].started),
                "pauses": live.pauses,
                "verdicts": [verdict_row(verdict) for verdict in live.all],
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Stage[sys.argv[2]])
