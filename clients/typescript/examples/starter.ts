// Starts `screening` and prints its result: PROBITY_TOKEN=… npx tsx examples/starter.ts SUPPLIER [HOST:PORT]
import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ExecutionService } from "../gen/probity/orchestrator/v1/execution_pb.ts";
import { ExecutionStatus } from "../gen/probity/orchestrator/v1/orchestrator_pb.ts";

const [supplier, server = "127.0.0.1:8080"] = process.argv.slice(2);
const executions = createClient(ExecutionService, createGrpcTransport({ baseUrl: `http://${server}` }));
const done = await executions.startExecution(
  {
    definition: "definitions/screening",
    input: new TextEncoder().encode(JSON.stringify({ supplier })),
    requestId: randomUUID(), // the same for every attempt of this start
    wait: { seconds: 30n },
  },
  { headers: { authorization: `Bearer ${process.env.PROBITY_TOKEN}` }, timeoutMs: 45_000 },
);
console.log(done.name, `EXECUTION_STATUS_${ExecutionStatus[done.status]}`, new TextDecoder().decode(done.output));
process.exit();
