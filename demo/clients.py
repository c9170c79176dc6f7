"""The demo's clients: waits for a line on stdin, then curl, Python's ssl module and node each fetch a page by HTTPS.

usage: clients.py URL CERTIFICATE
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import urllib.request

NODE = """
const [url, ca] = process.argv.slice(1);
const options = { ca: require("fs").readFileSync(ca), headers: { "user-agent": "node", cookie: "session=node-7781" } };
require("https").get(url, options, (response) => response.resume());
"""


def main(url: str, certificate: str) -> None:
    sys.stdin.readline()
    secret = ["-H", "Authorization: Bearer curl-4711"]
    subprocess.run(["curl", "-sS", "--cacert", certificate, *secret, "-o", "/dev/null", url], check=True, timeout=30)
    headers = {"User-Agent": "python-ssl", "X-Api-Key": "python-1234"}
    context = ssl.create_default_context(cafile=certificate)
    urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30, context=context).read()
    if shutil.which("node"):
        subprocess.run(["node", "-e", NODE, url, certificate], check=True, timeout=60)


if __name__ == "__main__":
    main(*sys.argv[1:])
