// One AppSession of the real @mentra/sdk. Each thing that happens to it is one JSON line on stdout:
//   {"event": "connecting" | "connected" | "disconnected" | "error" | "reconnect" | ..., "at": seconds, ...}
//
// node client.mjs --sdk DIR --url ws://HOST:PORT/app-ws --session ID --package NAME --user ID --api-key KEY
// Each option may come from the environment instead: SHIM_SDK_URL, SHIM_SDK_API_KEY, …; the folder is SHIM_SDK_DIR.
// On stdin: "disconnect" makes the app leave by itself; end of input ends the process.

import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { emit } from "./lines.mjs";

// Texts and the messages of errors; the SDK's structured fields only repeat them.
const complain = (level) => (...parts) => {
  const texts = parts.map((part) => part?.message ?? part).filter((part) => typeof part === "string");
  writeSync(2, `${level}: ${texts.join(" ")}\n`);
};

// The SDK also prints by itself; stdout belongs to the events.
for (const level of ["log", "info", "debug", "warn", "error"]) console[level] = complain(level);

// A stand-in for the AppServer, which would open a port and check for updates; a session only takes its logger.
const silent = () => {};
const logger = { trace: silent, debug: silent, info: silent, warn: complain("warn"), error: complain("error") };
logger.child = () => logger;

function options() {
  const names = { sdk: "DIR", url: "URL", session: "SESSION", package: "PACKAGE", user: "USER", "api-key": "API_KEY" };
  const spec = Object.fromEntries(Object.keys(names).map((name) => [name, { type: "string" }]));
  const { values } = parseArgs({ options: spec });
  for (const [name, variable] of Object.entries(names)) {
    values[name] ??= process.env[`SHIM_SDK_${variable}`];
    if (!values[name]) throw new Error(`--${name} or SHIM_SDK_${variable} is needed`);
  }
  return values;
}

// The first import of the SDK is found from the folder, wherever this file lies: ES modules ignore NODE_PATH.
async function load(folder) {
  const found = createRequire(join(resolve(folder), "anchor.cjs")).resolve("@mentra/sdk");
  return import(pathToFileURL(found).href);
}

function crash(error) {
  emit("crash", { message: String(error?.message ?? error) });
  process.exit(1);
}

async function main() {
  const { sdk, url, session: id, package: packageName, user, "api-key": apiKey } = options();
  const { AppSession } = await load(sdk);

  // The SDK announces no attempts. Each one of them, its own reconnections too, comes through connect().
  class WatchedSession extends AppSession {
    attempt = 0;

    connect(sessionId) {
      this.attempt += 1;
      emit(this.attempt === 1 ? "connecting" : "reconnect", { attempt: this.attempt });
      return super.connect(sessionId);
    }
  }

  const session = new WatchedSession({
    packageName,
    apiKey,
    userId: user,
    mentraOSWebsocketUrl: url,
    appServer: { logger },
  });

  session.events.onConnected(() => emit("connected", { attempt: session.attempt }));
  session.events.onError((error) => emit("error", { message: String(error?.message ?? error) }));
  session.events.onDisconnected((info) =>
    emit("disconnected", {
      code: info.code ?? null,
      reason: String(info.reason ?? info), // a Buffer when it came off the wire
      clean: info.wasClean ?? null,
      permanent: info.permanent ?? false,
      session_ended: info.sessionEnded ?? false,
    }),
  );

  // Also keeps the process alive while the SDK stays away, and ends it with the test, however that ends.
  const input = createInterface({ input: process.stdin });
  input.on("close", () => process.exit(0));
  input.on("line", (line) => {
    if (line.trim() === "disconnect") session.disconnect().then(() => emit("left"), crash);
  });

  try {
    await session.connect(id);
  } catch (error) {
    emit("refused", { message: String(error?.message ?? error) });
    return;
  }
  // What an app does in onSession; its subscription reaches the server as a second update.
  session.events.onButtonPress((press) => emit("button_press", { button: press.buttonId }));
}

process.on("uncaughtException", crash);
process.on("unhandledRejection", crash);
main().catch(crash);
