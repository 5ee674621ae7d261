// What the clients share: events as lines of JSON, and the options of the command line.

import { writeSync } from "node:fs";
import { parseArgs } from "node:util";

// hrtime is CLOCK_MONOTONIC on Linux, the clock of Python's time.monotonic(): a test can subtract one from the other.
export const monotonic = () => Number(process.hrtime.bigint()) / 1e9;

// Written synchronously, so that no line is lost when the process is stopped or killed right after it.
export function emit(event, fields = {}) {
  writeSync(1, `${JSON.stringify({ event, at: monotonic(), ...fields })}\n`);
}

// Each of these has to be given, as --name=value.
export function options(...names) {
  const spec = Object.fromEntries(names.map((name) => [name, { type: "string" }]));
  const { values } = parseArgs({ options: spec });
  for (const name of names) if (!values[name]) throw new Error(`--${name} is needed`);
  return values;
}
