// One real socket.io-client. Each thing that happens to it is one JSON line on stdout.
//
// node socketio.mjs --packages DIR --url http://HOST:PORT --user NAME
// A line on stdin is said to the server, which answers with an "echo".

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { emit, options } from "./lines.mjs";

const { packages, url, user } = options("packages", "url", "user");
const { io } = createRequire(join(packages, "anchor.cjs"))("socket.io-client");

const socket = io(url, { query: { user } });
socket.on("connect", () => {
  if (socket.io.engine.transport.name === "websocket") emit("connected");
  else socket.io.engine.once("upgrade", () => emit("connected"));
});
socket.on("disconnect", (reason, details) => emit("disconnected", { reason, code: details?.context?.code ?? details?.description ?? null }));
socket.on("echo", (text) => emit("echo", { text }));

const input = createInterface({ input: process.stdin });
input.on("line", (line) => socket.emit("say", line));
input.on("close", () => process.exit(0));
