// Sends one body over HTTP/2 and waits for the answer.
//
// usage: node http2_client.mjs ADDRESS HOST BODY_FILE
import { readFileSync } from "node:fs";
import { connect } from "node:http2";

const [address, servername, file] = process.argv.slice(2);
const session = connect(`https://${address.includes(":") ? `[${address}]` : address}`, { servername });
const request = session.request({ ":method": "POST", ":path": "/sag", "content-type": "application/json" });
request.end(readFileSync(file));
for await (const _ of request) {
  // Nothing is wanted of the answer but its end.
}
session.close();
