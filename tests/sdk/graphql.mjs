// One subscription of the real graphql-ws client. Each thing that happens to it is one JSON line on stdout.
//
// node graphql.mjs --packages DIR --url ws://HOST:PORT/graphql?user=…

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { emit, options } from "./lines.mjs";

const { packages, url } = options("packages", "url");
const require = createRequire(join(packages, "anchor.cjs"));
const { createClient } = require("graphql-ws");

const client = createClient({ url, webSocketImpl: require("ws"), lazy: false, retryAttempts: Infinity });
client.on("connected", () => emit("connected"));
client.on("closed", (event) => emit("disconnected", { code: event.code ?? null }));

client.subscribe(
  { query: "subscription { news }" },
  { next: ({ data }) => emit("news", { text: data.news }), error: (error) => emit("error", { message: String(error) }), complete: () => emit("complete") },
);

// The end of the input ends the process; so it ends with the test, however that ends.
createInterface({ input: process.stdin }).on("close", () => process.exit(0));
