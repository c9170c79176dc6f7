// HTTPS by node: a server, clients, or both in one process. Reports as sslobject_peers.py does.
//
// usage: node node_peers.js both|server|client CERTIFICATE KEY REPORT HOST PORT CONNECTIONS TURNS
//
// The server listens on PORT (0: any) and prints which; it ends, with its report, at SIGTERM. Each client keeps its one
// connection for all turns. With PEERS_WAIT, before each turn but the first, "ready" is printed and a line of standard input
// read; "end" ends it all. With PEERS_WORKERS the server is so many processes (cluster), each with a report of its own, REPORT.PID.
"use strict";
const cluster = require("node:cluster");
const fs = require("node:fs");
const https = require("node:https");
const [role, certificate, key, report, host, port, connections, turns] = process.argv.slice(2);
const said = {};
const workers = Number(process.env.PEERS_WORKERS ?? 0);

function say(socket, text) {
  said[text] = [
    [socket.localAddress, socket.localPort],
    [socket.remoteAddress, socket.remotePort],
  ];
  return text;
}

function writeReport(path) {
  fs.writeFileSync(path, JSON.stringify({ pid: process.pid, said }));
}

function serve() {
  const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key), keepAliveTimeout: 60_000 };
  const server = https.createServer(options, (request, response) => {
    response.setHeader("X-Text", say(request.socket, request.url.replace("/client", "server")));
    response.end("body");
  });
  return new Promise((resolve) => server.listen(Number(port), host, () => resolve(server.address().port)));
}

function request(agent, serverPort, text) {
  return new Promise((resolve, reject) => {
    const options = { host, port: serverPort, agent, path: `/${text}`, rejectUnauthorized: false };
    const sent = https.get(options, (response) => {
      if (response.headers["x-text"] !== text.replace("client", "server")) reject(new Error("another's answer"));
      response.on("end", resolve).resume();
    });
    sent.on("socket", (socket) => {
      if (socket.connecting) socket.on("connect", () => say(socket, text));
      else say(socket, text);
    });
    sent.on("error", reject);
  });
}

async function speak(serverPort) {
  const number = (n) => String(n).padStart(4, "0");
  const agents = Array.from({ length: Number(connections) }, () => new https.Agent({ keepAlive: true, maxSockets: 1 }));
  const turn = (t) => Promise.all(agents.map((agent, n) => request(agent, serverPort, `client-${number(n)}-${number(t)}`)));
  for (let t = 0; t < Number(turns); t++) {
    if (t && process.env.PEERS_WAIT) {
      const line = new Promise((resolve) => process.stdin.once("data", resolve));
      console.log("ready");
      if ((await line).toString() === "end\n") break;
    }
    await turn(t);
  }
  writeReport(report);
  process.exit(0);
}

async function main() {
  if (workers && cluster.isPrimary) {
    const ports = await Promise.all(
      Array.from({ length: workers }, () => new Promise((resolve) => cluster.fork().on("message", resolve))),
    );
    process.on("SIGTERM", () => {
      for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
      let left = workers;
      cluster.on("exit", () => --left || process.exit(0));
    });
    console.log(ports[0]);
    return;
  }
  if (role === "client") return speak(Number(port));
  const serverPort = await serve();
  if (role === "both") return speak(serverPort);
  process.on("SIGTERM", () => {
    writeReport(workers ? `${report}.${process.pid}` : report);
    process.exit(0);
  });
  if (workers) process.send(serverPort);
  else console.log(serverPort);
}

main();
