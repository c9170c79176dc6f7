"""The tests that are worth it on other kernels, where they take ten times as long."""

from __future__ import annotations

from dataclasses import dataclass

KERNELS = ("6.1", "6.12")  # Debian 12's packages; beside them runs the machine's own
FAMILIES = ("tracepoint", "kprobe", "fentry")  # of --hooks


@dataclass(frozen=True, slots=True)
class Group:
    """title: as docs/kernels.md has it. tests: files or tests, for pytest.

    hooks: these tests fail without them, so they run once for each way to attach them that the kernel accepts.
    """

    title: str
    tests: tuple[str, ...]
    hooks: tuple[str, ...] = ()


PREEMPTION = "tests/vm/test_preemption.py"  # boots by itself, since the kernel must be preemptible
_PACKETS = "tests/kernel/test_packets.py"
_EVENTS = "tests/capture/test_connection_events.py"
GROUPS = (
    Group("every eBPF object passes the verifier", ("tests/kernel/test_loading.py",)),
    Group(
        "exact bytes: calls of 1 B to 5 MiB, TLS in TLS",
        (
            "tests/capture/test_write_sizes.py::test_every_byte_at_both_ends[SSL_write-1.3]",
            "tests/capture/test_call_shapes.py::test_program_is_captured_exactly[tls_in_tls]",
        ),
    ),
    Group(
        "connection of each event",
        (
            "tests/capture/test_hooks.py::test_curl_names_the_ends_that_plainwire_names[127.0.0.1]",
            "tests/capture/test_connections.py::test_opened_before_the_capture",
        ),
        hooks=("socket used inside a call",),
    ),
    Group(
        "connections opened, closed and refused",
        (f"{_EVENTS}::test_opened_and_closed[ipv4]", f"{_EVENTS}::test_refused"),
        hooks=("end of connections", "process that opens or accepts a connection"),
    ),
    Group("keys", ("tests/capture/test_keys.py::test_curl",)),
    Group(
        "packets with their process",
        (
            f"{_PACKETS}::test_each_packet_has_its_process[client-tcp-ipv4]",
            f"{_PACKETS}::test_each_packet_has_its_process[server-tcp-ipv6]",
            f"{_PACKETS}::test_each_packet_has_its_process[lo-udp-ipv4]",
            f"{_PACKETS}::test_the_server_may_be_older_than_the_capture_and_forked",
        ),
        hooks=("process that uses a socket",),
    ),
    Group("preemption: no event mixes the bytes of two tasks", (PREEMPTION,)),
)


def group_of(test: str) -> Group | None:
    """The group that a test is of, named as `tests/folder/file.py::test_name[parameters]`."""
    names = {test, test.partition("[")[0], test.partition("::")[0]}
    return next((group for group in GROUPS if names & set(group.tests)), None)
