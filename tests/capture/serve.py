"""A captured reference server in a process of its own: `python -m tests.capture.serve FOLDER STAGE`.

It prints the control's start, in seconds of the monotonic clock, and its address. It captures to
FOLDER/capture-….jsonl and, when it is stopped, has written FOLDER/live.json: the verdicts of the live run,
their times and the control's start in seconds.
"""

import json
import sys
from pathlib import Path

from shim.aio import Shim
from shim.console.listener import listen, url_of
from shim.flags.targeting import everyone_at
from shim.model import Stage, Verdict, seconds
from shim.plugin.discovery import monitor_types, plugin_manager
from shim.replay.result import verdict_row
from shim.router import Observer, handles
from shim.server.serving import serve_until_signal
from shim.settings.settings import load_settings
from tests.live.servers import SECRETS


class Verdicts(Observer):
    def __init__(self) -> None:
        self.all: list[Verdict] = []

    @handles(Verdict)
    def _verdict(self, verdict: Verdict) -> None:
        self.all.append(verdict)


def main(folder: Path, stage: Stage) -> None:
    settings = load_settings(folder / "shim.yaml", monitor_types(plugin_manager()))
    live, capture = Verdicts(), folder / "capture.jsonl"
    rollout = everyone_at(stage)
    shim = Shim.open(
        settings, secrets=SECRETS, observers=[live], capture=capture, targeting=rollout
    )
    sock = listen("127.0.0.1", 0)

    def tell() -> None:
        print(seconds(shim.started), url_of(sock), flush=True)

    serve_until_signal(shim, sock, ready=tell)
    verdicts = [verdict_row(verdict) for verdict in live.all]
    told = {"start": seconds(shim.started), "verdicts": verdicts}
    (folder / "live.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Stage[sys.argv[2]])
