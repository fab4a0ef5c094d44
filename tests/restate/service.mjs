// The workflow of `make bench-workflows` for Restate: triage, then two checks side by side, then audit. Each step is
// durable before the next begins and answers about 200 bytes. With {"log": true} every attempt of a step leaves a line
// `key,workflow,step` in the file EFFECTS.

import { closeSync, openSync, writeSync } from "node:fs";
import { createServer } from "node:http2";

// The SDK calls it; Node has it from version 22 on, and without it every call would hang.
Promise.withResolvers ??= function () {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};
const restate = await import("@restatedev/restate-sdk");

const effects = process.env.EFFECTS ? openSync(process.env.EFFECTS, "a") : null;
process.on("exit", () => effects !== null && closeSync(effects));
const pad = "x".repeat(140);

async function step(key, name, input) {
  if (input.log && effects !== null) writeSync(effects, `${key}/${name},${key},${name}\n`);
  if (input.delayMs) await new Promise((done) => setTimeout(done, input.delayMs));
  return { step: name, case: key, ok: true, score: 42, pad };
}

const bench = restate.workflow({
  name: "Bench",
  handlers: {
    run: async (ctx, input) => {
      const durable = (name) => ctx.run(name, () => step(ctx.key, name, input ?? {}));
      const triage = await durable("triage");
      const both = await restate.RestatePromise.all([durable("anticorruption"), durable("compliance")]);
      const audit = await durable("audit");
      const state = { state: "RESOLVED", steps: [triage, ...both, audit].map((result) => result.step) };
      ctx.set("state", state);
      return { state: "RESOLVED", steps: state.steps.length };
    },
  },
});

createServer(restate.createEndpointHandler({ services: [bench] })).listen(Number(process.env.PORT), "127.0.0.1");
