// The clients from npm: `node node_clients.mjs` with a list of {client, url} as one line of JSON on standard
// input. Each client is left to itself; the end of standard input ends the process. This file is run from
// the folder where the packages are installed.

import { createInterface } from "node:readline";

const chosen = (module) => module.default?.default ?? module.default ?? module;

const WebSocket = chosen(await import("ws"));
// Browsers have it as a global, and most of these libraries look for it there.
globalThis.WebSocket = WebSocket;
const ignore = () => {};

// Each function connects one client to an address, as its library's documentation says.
const clients = {
  ws: async () => (url) => new WebSocket(url).on("error", ignore),

  "reconnecting-websocket": async () => {
    const Client = chosen(await import("reconnecting-websocket"));
    return (url) => new Client(url, [], { WebSocket });
  },

  partysocket: async () => {
    const { WebSocket: Client } = await import("partysocket");
    return (url) => new Client(url, [], { WebSocket });
  },

  sockette: async () => {
    const Client = chosen(await import("sockette"));
    return (url) => new Client(url, {});
  },

  "socket.io-client": async () => {
    const { io } = await import("socket.io-client");
    return (url) => {
      const { origin, pathname } = new URL(url);
      return io(origin, { path: `${pathname}/socket.io`, transports: ["websocket"], forceNew: true });
    };
  },

  "graphql-ws": async () => {
    const { createClient } = await import("graphql-ws");
    return (url) => {
      const client = createClient({ url, webSocketImpl: WebSocket });
      const sink = { next: ignore, error: ignore, complete: ignore };
      return client.subscribe({ query: "subscription { tick }" }, sink);
    };
  },

  centrifuge: async () => {
    const { Centrifuge } = await import("centrifuge");
    return (url) => new Centrifuge(url, { websocket: WebSocket }).connect();
  },

  phoenix: () => phoenix("phoenix"),
  "phoenix-1.7": () => phoenix("phoenix-1.7"),

  "supabase-realtime-js": async () => {
    const { RealtimeClient } = await import("@supabase/realtime-js");
    return (url) => new RealtimeClient(url, { params: { apikey: "key" }, transport: WebSocket }).connect();
  },

  "websocket-ts": async () => {
    const { WebsocketBuilder, ConstantBackoff } = await import("websocket-ts");
    return (url) => new WebsocketBuilder(url).withBackoff(new ConstantBackoff(1000)).build();
  },

  "microsoft-signalr": async () => {
    const { HubConnectionBuilder, HttpTransportType, LogLevel } = await import("@microsoft/signalr");
    const transport = { skipNegotiation: true, transport: HttpTransportType.WebSockets };
    return (url) =>
      new HubConnectionBuilder()
        .withUrl(url.replace("ws:", "http:"), transport)
        .withAutomaticReconnect()
        .configureLogging(LogLevel.None)
        .build()
        .start();
  },

  rxjs: async () => {
    const { retry } = await import("rxjs");
    const { webSocket } = await import("rxjs/webSocket");
    return (url) =>
      webSocket({ url, WebSocketCtor: WebSocket })
        .pipe(retry({ delay: 1000 }))
        .subscribe({ error: ignore });
  },

  "mentra-sdk": async () => {
    const { AppSession } = await import("@mentra/sdk");
    const logger = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore };
    logger.child = () => logger;
    return (url) => {
      const packageName = "com.example.app1";
      const identity = { packageName, apiKey: "dev", userId: "user" };
      const session = new AppSession({ ...identity, mentraOSWebsocketUrl: url, appServer: { logger } });
      session.events.onError(ignore);
      return session.connect(`user-${packageName}`);
    };
  },
};

async function phoenix(name) {
  const { Socket } = await import(name);
  return (url) => new Socket(url, { transport: WebSocket }).connect();
}

// Some libraries print; what a client throws later concerns that client alone.
for (const level of ["log", "info", "debug", "warn", "error"]) console[level] = ignore;
process.on("uncaughtException", ignore);
process.on("unhandledRejection", ignore);

const connect = new Map();
createInterface({ input: process.stdin })
  .on("close", () => process.exit(0))
  .on("line", async (line) => {
    for (const { client, url } of JSON.parse(line)) {
      try {
        if (!connect.has(client)) connect.set(client, await clients[client]());
        Promise.resolve(connect.get(client)(url)).catch(ignore);
      } catch (error) {
        process.stderr.write(`${client}: ${error.stack}\n`);
        process.exit(1);
      }
    }
  });
