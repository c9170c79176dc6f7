"""A process of one name whose thread of another name makes an exchange.

usage: named_thread.py CERTIFICATE KEY REPORT
"""

import sys
import threading
from pathlib import Path

from libssl import Library

certificate, key, report = sys.argv[1:]
Path("/proc/self/comm").write_text("the-process")


def exchange() -> None:
    Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text("the-thread")
    library = Library()
    client, server = library.pair(certificate, key)
    client.write(b"by a thread")
    server.read(100)
    library.report(report)


thread = threading.Thread(target=exchange)
thread.start()
thread.join()
