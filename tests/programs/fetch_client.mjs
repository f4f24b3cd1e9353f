// Sends the jobs of a JSON-lines file with node's fetch, keeping connections open.
//
// usage: node fetch_client.mjs JOBS CONNECTIONS
import { readFileSync } from "node:fs";

const jobs = readFileSync(process.argv[2], "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const count = Math.min(Number(process.argv[3]), jobs.length);

async function worker(index) {
  for (let at = index; at < jobs.length; at += count) {
    const { url, method, headers, body } = jobs[at];
    const answer = await fetch(url, { method, headers, body });
    await answer.arrayBuffer();
    if (answer.status !== 200) throw new Error("the server did not answer 200");
  }
}

await Promise.all(Array.from({ length: count }, (_, index) => worker(index)));
process.exit(0); // fetch keeps idle connections, and with them the process, for seconds
