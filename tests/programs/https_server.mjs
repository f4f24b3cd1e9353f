// Answers every request over TLS with a word, on connections that stay open; it is ended from outside.
//
// usage: https_server.mjs ADDRESS PORT CERTIFICATE KEY
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

const [address, port, certificate, key] = process.argv.slice(2);
const options = { cert: readFileSync(certificate), key: readFileSync(key) };
const server = createServer(options, (request, response) => {
  request.resume();
  request.on("end", () => response.end("ok"));
});
server.listen(Number(port), address);
