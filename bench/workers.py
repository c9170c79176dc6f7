"""nginx's worker."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import Server


def worker_of(server: Server) -> int:
    """The process that serves: the one child of nginx's first."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1, f"nginx has the children {children}"
    return int(children[0])
