// usage: node node_echo.js server PORT CERTIFICATE KEY | client PORT FILE
// The server sends back what it gets; the client sends FILE, and fails if it gets anything else back.
"use strict";
const fs = require("node:fs");
const tls = require("node:tls");
const [role, port, ...rest] = process.argv.slice(2);

if (role === "server") {
  const [cert, key] = rest.map((path) => fs.readFileSync(path));
  tls.createServer({ cert, key }, (socket) => socket.pipe(socket)).listen(Number(port), "127.0.0.1");
} else {
  const sent = fs.readFileSync(rest[0]);
  const socket = tls.connect({ host: "127.0.0.1", port: Number(port), rejectUnauthorized: false });
  let received = Buffer.alloc(0);
  socket.write(sent);
  socket.on("data", (data) => {
    received = Buffer.concat([received, data]);
    if (received.length >= sent.length) process.exit(received.equals(sent) ? 0 : 1);
  });
  socket.on("error", () => process.exit(2));
}
