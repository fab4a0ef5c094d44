// The jobs of `make bench-queue` on BullMQ: node bullmq.mjs PORT JOBS CONCURRENCY
// Prints seconds as JSON: how long putting in took, and how long the work.
import { Queue, Worker } from "bullmq";

const [port, jobs, concurrency] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const queue = new Queue("bench", { connection });
await queue.waitUntilReady();
await queue.pause();

const seconds = (from) => (performance.now() - from) / 1000;
let begun = performance.now();
for (let at = 0; at < jobs; at += 1000) {
  const count = Math.min(1000, jobs - at);
  await queue.addBulk(Array.from({ length: count }, (_, i) => ({ name: "noop", data: { number: at + i } })));
}
const enqueue_s = seconds(begun);

let done = 0;
const all = new Promise((resolve, reject) => {
  const worker = new Worker("bench", async () => null, { connection, concurrency });
  worker.on("completed", () => ++done === jobs && resolve(worker));
  worker.on("failed", (_, error) => reject(error));
  worker.waitUntilReady().then(() => {
    begun = performance.now();
    return queue.resume();
  });
});
const worker = await all;
console.log(JSON.stringify({ enqueue_s, process_s: seconds(begun) }));
await worker.close();
await queue.close();
