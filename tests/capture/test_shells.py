"""bash and zsh on a pseudo-terminal: what is entered in them, and what it returns."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.debian import unpacked
from tests.support.plainwire import Capture, Event, plainwire
from tests.support.processes import wait_until
from tests.support.shells import FIRST, FURTHER, Shell

pytestmark = pytest.mark.bpf

SHELLS = ["bash", "zsh"]
SECRET = "correct-horse-battery"


def commands(capture: Capture, count: int, pid: int | None = None) -> list[Event]:
    """Waits for so many commands (of one shell), and gives them."""

    def found() -> list[Event]:
        return [event for event in capture.events("command") if pid in (None, event["pid"])]

    wait_until(lambda: len(found()) >= count, f"{count} commands", 20)
    return found()


def returned(capture: Capture, count: int, pid: int | None = None) -> list[tuple[str, int | None]]:
    return [(event["command"], event["return_code"]) for event in commands(capture, count, pid)]


@pytest.mark.parametrize("name", SHELLS)
def test_commands_of_a_shell_that_waited_before_the_capture(run_plainwire: RunPlainwire, name: str) -> None:
    before = time.time_ns()
    with Shell(name) as shell:
        capture = run_plainwire("--json", "--module", "bash,zsh", "--pid", str(shell.pid))
        assert "captured" not in shell.enter("echo hello")
        shell.enter("false")
        shell.enter("echo häl ✓ | grep -q nothing")
        shell.enter("for i in 1 2; do", "  (exit $i)", "done")
        shell.enter("cat <<END", "", "  text", "END")
        shell.enter("nosuchcommand")
        shell.enter("eval 'true; (exit 7)'")
        shell.enter("")
        shell.enter("   ")
        shell.enter("echo 'one", "two'")
        shell.enter("sleep 0.2")
        shell.leave("exit 5")
        found = returned(capture, 10)
        assert found == [
            ("echo hello", 0),
            ("false", 1),
            ("echo häl ✓ | grep -q nothing", 1),
            ("for i in 1 2; do\n  (exit $i)\ndone", 2),
            ("cat <<END\n\n  text\nEND", 0),
            ("nosuchcommand", 127),
            ("eval 'true; (exit 7)'", 7),
            ("echo 'one\ntwo'", 0),
            ("sleep 0.2", 0),
            ("exit 5", 5),
        ]
        assert capture.stop() == 0
    events = capture.events("command")
    assert {(event["module"], event["pid"], event["comm"]) for event in events} == {(name, shell.pid, name)}
    assert {event["uid"] for event in events} == {os.getuid()}
    assert {os.path.realpath(event["library"]) for event in events} == {os.path.realpath(f"/usr/bin/{name}")}
    assert events[8]["duration_ns"] >= 200_000_000
    times = [event["timestamp_ns"] for event in events]
    assert times == sorted(times)
    assert before < time.time_ns() and all(not event["truncated"] for event in events)
    stats = capture.events()[-1]
    assert (stats["commands"], stats["events"], stats["processes"], stats["losses"]) == (10, 0, 1, {})


@pytest.mark.parametrize("name", SHELLS)
def test_shells_that_begin_after_the_capture(run_plainwire: RunPlainwire, name: str) -> None:
    """Several at once; each is told apart."""
    capture = run_plainwire("--json", "--module", name)
    with Shell(name) as first, Shell(name) as second:
        first.enter("echo first")
        second.enter("echo second; (exit 2)")
        first.enter("(exit 3)")
        assert returned(capture, 2, first.pid) == [("echo first", 0), ("(exit 3)", 3)]
        assert returned(capture, 1, second.pid) == [("echo second; (exit 2)", 2)]


@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_in_a_shell(name: str) -> None:
    """Both are interactive; the inner one is a program that the outer one waits for."""
    with Shell(name) as outer, Capture("--json", "--module", name, "--pid", str(outer.pid), "--follow") as capture:
        arguments = "--norc --noprofile" if name == "bash" else "-f"
        outer.enter(f"{name} {arguments} -i")
        outer.enter("echo inner")
        outer.enter("exit 4")
        found = commands(capture, 3)
    assert [(event["command"], event["return_code"]) for event in found] == [
        ("echo inner", 0),
        ("exit 4", 4),
        (f"{name} {arguments} -i", 4),
    ]
    assert found[0]["pid"] == found[1]["pid"] != found[2]["pid"] == outer.pid


@pytest.mark.parametrize(
    ("name", "line", "prompt"),
    [
        ("bash", "read -s -p 'Password: ' x; read -s -p 'Again: ' x", "Again: "),
        ("bash", "read -e -p 'Password: ' x; read -e -s -p 'Again: ' x", "Again: "),
        ("bash", "PROMPT_COMMAND=\"read -e -p 'Password: ' x; read -e -p 'Again: ' x; PROMPT_COMMAND=\"", "Again: "),
        ("zsh", "read -s 'x?Password: '; read -s 'x?Again: '", "Again: "),
        ("zsh", "vared -p 'Password: ' -c x; vared -p 'Again: ' -c y", "Again: "),
        ("zsh", "PROMPT3='Password: '; select x in a b; do PROMPT3='Again: '; done", "Again: "),
    ],
)
def test_a_secret_typed_at_another_prompt_is_not_captured(
    run_plainwire: RunPlainwire, tmp_path: Path, name: str, line: str, prompt: str
) -> None:
    """Twice, since the second prompt is at no command's begin."""
    recording = tmp_path / "shell.plainwire"
    with Shell(name) as shell:
        capture = run_plainwire("--json", "--module", name, "--pid", str(shell.pid), "--record", recording)
        shell.enter(line, prompt="Password: ")
        shell.enter(SECRET, prompt=prompt)
        if "select" in line:
            shell.enter(SECRET, prompt=prompt)
            shell.enter("\x04", prompt=FIRST)
        else:
            shell.enter(SECRET)
        shell.enter("echo after")
        commands(capture, 2)
        capture.stop()
    found = [event["command"] for event in capture.events("command")]
    assert found[0] == line and found[-1] == "echo after"
    assert not any(SECRET in text for text in capture.lines)
    assert SECRET.encode() not in recording.read_bytes()


@pytest.mark.parametrize("name", SHELLS)
def test_long_commands_are_captured_whole(run_plainwire: RunPlainwire, name: str) -> None:
    """Lines longer than a part, exactly a part (2,048 bytes) and one byte off; and a command of many lines."""
    lines = [f": {'x' * (size - 2)}" for size in (2046, 2047, 2048, 2049, 4096, 10_000)]
    with Shell(name) as shell:
        capture = run_plainwire("--json", "--module", name, "--pid", str(shell.pid))
        for line in lines:
            shell.enter(line)
        many = [": <<END", *(f"line {number} {'y' * 50}" for number in range(200)), "END"]
        shell.enter(*many)
        assert returned(capture, len(lines) + 1) == [*((line, 0) for line in lines), ("\n".join(many), 0)]


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize(("option", "expected"), [(1, {"false"}), (128, {": unwanted", "false", "(exit 128)"})])
def test_commands_are_chosen_by_what_they_return(
    run_plainwire: RunPlainwire, tmp_path: Path, name: str, option: int, expected: set[str]
) -> None:
    """In the kernel: what is not wanted reaches no recording either."""
    recording = tmp_path / "shell.plainwire"
    with Shell(name) as shell:
        capture = run_plainwire(
            "--json", "--module", name, "--return-code", str(option), "--pid", str(shell.pid), "--record", recording
        )
        for line in (": unwanted", "(exit 128)", "false"):
            shell.enter(line)
        commands(capture, len(expected))
        shell.send("sleep 60\r")  # has not returned when the capture ends
        time.sleep(0.3)
        capture.stop()
    running = {"sleep 60"} if option == 128 else set()
    assert {event["command"] for event in capture.events("command")} == expected | running
    assert (b"unwanted" in recording.read_bytes()) == (option == 128)


@pytest.mark.parametrize("name", SHELLS)
def test_how_a_shell_ends(run_plainwire: RunPlainwire, name: str) -> None:
    capture = run_plainwire("--json", "--module", name)
    with Shell(name) as killed, Shell(name) as replaced, Shell(name) as running:
        killed.leave("kill -9 $$")
        replaced.leave("exec /bin/false")
        running.send("sleep 60\r")
        wait_until(lambda: Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text() != "", "sleep to run")
        commands(capture, 2)
        capture.stop()
    ends = {
        event["command"]: (event["pid"], event["return_code"], event["duration_ns"] is None)
        for event in capture.events("command")
        if event["pid"] in (killed.pid, replaced.pid, running.pid)
    }
    assert ends == {
        "kill -9 $$": (killed.pid, 137, False),
        "exec /bin/false": (replaced.pid, None, False),
        "sleep 60": (running.pid, None, True),
    }


@pytest.mark.parametrize("name", SHELLS)
def test_history_and_an_aborted_command(run_plainwire: RunPlainwire, name: str) -> None:
    """What was entered is told, not what it stands for; a command got by the arrow key is entered anew."""
    with Shell(name) as shell:
        capture = run_plainwire("--json", "--module", name, "--pid", str(shell.pid))
        shell.enter("(exit 6)")
        shell.enter("!!")
        shell.enter("echo 'begun", prompt=FURTHER)
        shell.interrupt()
        shell.enter("(exit 9)")
        shell.enter("\x10")
        assert returned(capture, 5) == [
            ("(exit 6)", 6),
            ("!!", 6),
            ("echo 'begun", 130),
            ("(exit 9)", 9),
            ("(exit 9)", 9),
        ]


@pytest.mark.parametrize("name", SHELLS)
def test_control_characters_and_bytes_that_are_no_text(run_plainwire: RunPlainwire, name: str) -> None:
    """An escape sequence in a command can't steer the terminal of the one who watches."""
    with Shell(name, LC_ALL="C") as shell:
        as_text = run_plainwire("--module", name, "--pid", str(shell.pid))
        as_json = run_plainwire("--json", "--module", name, "--pid", str(shell.pid))
        shell.enter("echo '\x16\x1b[2Jred'")  # Ctrl-V takes the next key as it is
        assert returned(as_json, 1) == [("echo '\x1b[2Jred'", 0)]
        wait_until(lambda: any("red" in line for line in as_text.lines), "the text")
        as_text.stop()
    shown = "".join(as_text.lines)
    assert "\x1b" not in shown and r"echo '\x1b[2Jred'" in shown
    assert f"{name}[{shell.pid}] user {os.getuid()}  returned 0 after" in shown


@pytest.mark.parametrize("name", SHELLS)
def test_a_recording_gives_the_same(run_plainwire: RunPlainwire, tmp_path: Path, name: str) -> None:
    recording = tmp_path / "shell.plainwire"
    with Shell(name) as shell:
        capture = run_plainwire("--json", "--module", name, "--pid", str(shell.pid), "--record", recording)
        shell.enter("echo " + "z" * 5000)
        shell.enter("echo häl ✓")
        shell.enter("false")
        commands(capture, 3)
        capture.stop()
    assert plainwire("read", str(recording), "--json").stdout == "".join(capture.lines)
    assert [event["return_code"] for event in capture.events("command")] == [0, 0, 1]


@pytest.mark.parametrize("transport", ["perf", "ring"])
def test_filtered_in_userspace(run_plainwire: RunPlainwire, transport: str) -> None:
    with Shell("bash") as wanted, Shell("bash") as other:
        capture = run_plainwire(
            "--json", "--module", "bash", "--pid", str(wanted.pid), "--userspace-filter", "--transport", transport
        )
        other.enter("echo other")
        wanted.enter("echo wanted")
        assert returned(capture, 1) == [("echo wanted", 0)]


def test_shells_are_captured_on_request_alone(run_plainwire: RunPlainwire) -> None:
    with Shell("bash") as shell:
        capture = run_plainwire("--json", "--pid", str(shell.pid))
        shell.enter("echo hello")
        time.sleep(0.3)
        capture.stop()
    assert capture.events("command") == []
    finished = plainwire("capture", "--return-code", "1", "--duration", "1")
    assert finished.returncode == 2 and "--module bash,zsh" in finished.stderr


@pytest.mark.parametrize("name", SHELLS)
def test_explain_tells_of_a_shell(name: str) -> None:
    with Shell(name) as shell:
        text = plainwire("explain", str(shell.pid)).stdout
        nothing = plainwire("capture", "--pid", str(shell.pid), "--duration", "0.3").stderr
    assert f"captured by the module {name}" in text
    assert f"plainwire capture --pid {shell.pid} --module {name}" in text
    assert f"--module {name}" in nothing


def test_doctor_tells_of_the_login_shells() -> None:
    found = plainwire("doctor").stdout
    for name in SHELLS:
        path = os.path.realpath(f"/usr/bin/{name}")
        assert re.search(rf"^  works    {path}  {name} \d+\.\d+[\d.]*, with --module {name}$", found, re.MULTILINE)


@pytest.mark.parametrize(
    "options",
    [["-fPIE", "-pie"], ["-fno-plt"], ["-fno-PIE", "-no-pie"], ["-fcf-protection=full", "-Wl,-z,ibtplt"]],
    ids=" ".join,
)
def test_a_shell_that_takes_readline_from_a_library(
    run_plainwire: RunPlainwire, tmp_path: Path, options: list[str]
) -> None:
    source = Path(__file__).parents[1] / "support" / "readline_shell.c"
    program = tmp_path / "bash"
    subprocess.run(["cc", "-O2", "-rdynamic", *options, "-o", program, source, "-lreadline"], check=True)
    with Shell(program) as shell:
        capture = run_plainwire("--json", "--module", "bash", "--pid", str(shell.pid))
        shell.enter("3")
        shell.enter("\\", "4")
        shell.enter("secret", prompt="Password: ")
        shell.enter(SECRET)
        shell.leave("exit")
        assert returned(capture, 4) == [("3", 3), ("\\\n4", 4), ("secret", len(SECRET)), ("exit", 9)]


def test_an_older_bash(run_plainwire: RunPlainwire) -> None:
    """Debian 11's; one file more of the same module."""
    with Shell(unpacked("bullseye", "amd64", "bash", "zsh") / "bin" / "bash") as shell:
        capture = run_plainwire("--json", "--module", "bash", "--pid", str(shell.pid))
        shell.enter("for i in 1; do", "false", "done")
        shell.leave("exit 3")
        assert returned(capture, 2) == [("for i in 1; do\nfalse\ndone", 1), ("exit 3", 3)]
