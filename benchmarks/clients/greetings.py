"""What a server has to say until each client believes that it is connected.

A greeting takes a message of the client and returns the server's answers. The clients that are not named
here need no answer.
"""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

Greeting: TypeAlias = Callable[[str], list[str]]

_RECORD = "\x1e"
"""SignalR ends each of its records with this character."""

_ENGINE_OPEN = {
    "sid": "engine",
    "upgrades": [],
    "pingInterval": 300_000,
    "pingTimeout": 300_000,
    "maxPayload": 1_000_000,
}


def greet_socketio(message: str) -> list[str]:
    """Engine.IO 4 and Socket.IO 5: `40` asks for the default namespace."""
    return ['40{"sid":"socket"}'] if message.startswith("40") else []


def greet_graphql(message: str) -> list[str]:
    """The protocol graphql-transport-ws."""
    kind = json.loads(message)["type"]
    answers = {"connection_init": "connection_ack", "ping": "pong"}
    return [json.dumps({"type": answers[kind]})] if kind in answers else []


def greet_centrifuge(message: str) -> list[str]:
    """Centrifuge's JSON protocol; without `ping` in the reply its client expects no pings."""
    commands = [json.loads(line) for line in message.splitlines()]
    return [
        json.dumps({"id": command["id"], "connect": {"client": "c", "version": "1"}})
        for command in commands
        if "connect" in command
    ]


def greet_phoenix(message: str) -> list[str]:
    """Phoenix channels, both forms of its messages: an array, or an object."""
    asked: Any = json.loads(message)
    reply = {"status": "ok", "response": {}}
    if isinstance(asked, list):
        join, reference, topic, *_ = asked
        return [json.dumps([join, reference, topic, "phx_reply", reply])]
    answer = {"event": "phx_reply", "payload": reply}
    return [json.dumps({"topic": asked["topic"], "ref": asked["ref"], **answer})]


def greet_signalr(message: str) -> list[str]:
    """SignalR's handshake; an empty object accepts it."""
    return ["{}" + _RECORD] if '"protocol"' in message else []


def greet_mentra(message: str) -> list[str]:
    """The protocol of MentraOS's apps."""
    init = json.loads(message)
    if init.get("type") != "tpa_connection_init":
        return []
    return [json.dumps({"type": "tpa_connection_ack", "sessionId": init["sessionId"]})]


GREETINGS: dict[str, Greeting] = {
    "socket.io-client": greet_socketio,
    "python-socketio": greet_socketio,
    "graphql-ws": greet_graphql,
    "gql": greet_graphql,
    "gql-idle": greet_graphql,
    "centrifuge": greet_centrifuge,
    "centrifuge-python": greet_centrifuge,
    "phoenix": greet_phoenix,
    "phoenix-1.7": greet_phoenix,
    "supabase-realtime-js": greet_phoenix,
    "microsoft-signalr": greet_signalr,
    "mentra-sdk": greet_mentra,
}

SPOKEN_FIRST: dict[str, str] = dict.fromkeys(
    ("socket.io-client", "python-socketio"), "0" + json.dumps(_ENGINE_OPEN)
)
"""What the server says before it has heard anything."""
