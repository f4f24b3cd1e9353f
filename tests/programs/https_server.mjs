// Answers every request over TLS with a word, by HTTP/2 or HTTP/1 as it is asked, on connections that stay open; it is
// ended from outside.
//
// usage: https_server.mjs ADDRESS PORT CERTIFICATE KEY
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";

const [address, port, certificate, key] = process.argv.slice(2);
const options = { allowHTTP1: true, cert: readFileSync(certificate), key: readFileSync(key) };
const server = createSecureServer(options, (request, response) => {
  request.resume();
  request.on("end", () => response.end("ok"));
});
server.listen(Number(port), address);
