"""What the decoder remembers is right, and stays small."""

from __future__ import annotations

from plainwire.decode.names import Texts, tls_versions
from plainwire.decode.processes import MAX_HISTORY, MAX_PROCESSES, ProcessTable
from plainwire.decode.records import ProcessFacts
from plainwire.decode.sequences import ConnectionTable


def facts(pid: int, since_ns: int, exe: str = "/bin/a") -> ProcessFacts:
    return ProcessFacts(pid, since_ns, "a", exe, ("a",))


def test_facts_may_come_in_any_order() -> None:
    table = ProcessTable()
    for since_ns in (20, 10, 30, 15):
        table.add(facts(1, since_ns, f"/bin/{since_ns}"))
    told = [table.at(1, at).exe for at in (9, 10, 14, 15, 19, 20, 29, 30, 99)]
    assert told == [None, *(f"/bin/{n}" for n in (10, 10, 15, 15, 20, 20, 30, 30))]


def test_only_the_last_programs_of_a_process_are_kept() -> None:
    table = ProcessTable()
    for since_ns in range(1, 100):
        table.add(facts(1, since_ns))
    known = [since_ns for since_ns in range(1, 100) if table.at(1, since_ns).exe]
    assert known == list(range(99 - MAX_HISTORY, 100))


def test_processes_are_bounded() -> None:
    table = ProcessTable()
    for pid in range(MAX_PROCESSES + 10):
        table.add(facts(pid, 1))
        table.add(facts(0, pid))  # news of it keep the first one
    assert len(table.latest) <= MAX_PROCESSES
    assert table.at(0, 2**40).exe == "/bin/a"


def test_connections_in_use_are_kept_and_the_others_bounded() -> None:
    table = ConnectionTable(generation=100)
    table.enter((1, 0), 0)[0] = 7
    for ssl in range(1, 1000):
        table.enter((1, ssl), 0)
        numbers = table.young.get((1, 0)) or table.enter((1, 0), 0)
        assert numbers[0] == 7
    assert len(table.young) <= 100
    assert table.enter((1, 1), 0) == [0, 0]  # forgotten long since


def test_names_of_hostile_processes_take_no_memory() -> None:
    texts, versions = Texts(), tls_versions()
    for number in range(20_000):
        assert texts[f"{number}\0".encode().ljust(16, b"x")] == str(number)
        assert versions[number + 100_000] == f"0x{number + 100_000:04x}"
    assert len(texts) < 5000
    assert len(versions) < 5000
