// Takes one request over HTTP/2, answers it, and ends with the client.
//
// Says so when it listens.
//
// usage: node http2_server.mjs ADDRESS CERTIFICATE KEY TLS_VERSION
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";

const [address, cert, key, number] = process.argv.slice(2);
const version = `TLSv${number}`;
const server = createSecureServer({
  cert: readFileSync(cert),
  key: readFileSync(key),
  minVersion: version,
  maxVersion: version,
});
server.on("stream", async (stream) => {
  for await (const _ of stream) {
    // Read to its end, or the client would be told to wait.
  }
  stream.respond({ ":status": 200 });
  stream.end("taget");
  server.close();
});
server.listen(443, address, () => console.log("listening"));
