// Sends the jobs of a JSON-lines file with node's https and http modules, keeping connections open.
//
// usage: node https_client.mjs JOBS CONNECTIONS
import http from "node:http";
import https from "node:https";
import { readFileSync } from "node:fs";

const jobs = readFileSync(process.argv[2], "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
const count = Math.min(Number(process.argv[3]), jobs.length);

function send(job, agents) {
  const url = new URL(job.url);
  const client = url.protocol === "https:" ? https : http;
  const body = job.body === undefined ? undefined : Buffer.from(job.body);
  const headers = body ? { ...job.headers, "Content-Length": body.length } : job.headers;
  return new Promise((resolve, reject) => {
    const request = client.request(url, { method: job.method, headers, agent: agents[url.protocol] }, (answer) => {
      answer.resume();
      answer.on("end", () => (answer.statusCode === 200 ? resolve() : reject(new Error("the server did not answer 200"))));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function worker(index) {
  const options = { keepAlive: true, maxSockets: 1 };
  const agents = { "https:": new https.Agent(options), "http:": new http.Agent(options) };
  for (let at = index; at < jobs.length; at += count) await send(jobs[at], agents);
  Object.values(agents).forEach((agent) => agent.destroy());
}

await Promise.all(Array.from({ length: count }, (_, index) => worker(index)));
