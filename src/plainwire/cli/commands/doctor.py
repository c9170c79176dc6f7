"""`plainwire doctor`: what this machine can do, and what that means for a capture."""

from __future__ import annotations

import platform
import sys

import click
import msgspec

from plainwire.capture.login_shells import LoginShell, survey_login_shells
from plainwire.kernel.hook_trials import HookResult, WayResult, ladders, try_ladder
from plainwire.kernel.trials import TRIALS, Result, run
from plainwire.outputs.clean import clean_name
from plainwire.outputs.style import style_for

CAPTURE_IMPOSSIBLE = 3


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def command(as_json: bool) -> None:
    """Tell what this machine can do: each thing is tried. Exit status 3 when nothing can be captured."""
    results = [run(trial) for trial in TRIALS]
    hooks = [try_ladder(ladder) for ladder in ladders()]
    shells = survey_login_shells()
    obstacles = [result for result in results if result.trial.required and result.status != "works"]
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(_as_object(results, hooks, shells, possible=not obstacles)) + b"\n")
    else:
        _print(results)
        _print_hooks(hooks)
        _print_shells(shells)
        _print_conclusion(obstacles)
    sys.exit(CAPTURE_IMPOSSIBLE if obstacles else 0)


def _as_object(
    results: list[Result], hooks: list[HookResult], shells: list[LoginShell], *, possible: bool
) -> dict[str, object]:
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "capture_possible": possible,
        "features": [
            {
                "name": result.trial.name,
                "status": result.status,
                "required": result.trial.required,
                "gives": result.trial.gives,
                "without": result.trial.without,
                "reason": result.reason,
            }
            for result in results
        ],
        "hooks": [
            {
                "module": tried.ladder.module,
                "name": tried.ladder.hook.name,
                "without": tried.ladder.hook.without,
                "ways": [
                    {
                        "family": result.way.family,
                        "places": result.places,
                        "status": result.status,
                        "used": result.used,
                        "reason": result.reason,
                    }
                    for result in tried.ways
                ],
            }
            for tried in hooks
        ],
        "shells": shells,
    }


def _print(results: list[Result]) -> None:
    style = style_for(1)
    width = max(len(result.trial.name) for result in results)
    print(f"Linux {platform.release()} on {platform.machine()}")
    for result in results:
        name = result.trial.name.ljust(width)
        if result.status == "works":
            print(f"  works    {name}  {result.trial.gives}")
            continue
        alarm = style.alarm if result.trial.required else ""
        print(f"{alarm}  {result.status:7}  {name}  {result.trial.gives}{style.reset if alarm else ''}")
        print(f"           {'':{width}}  because: {result.reason}")
        print(f"           {'':{width}}  so: {result.trial.without}")


def _print_hooks(hooks: list[HookResult]) -> None:
    print(
        "Hooks in the kernel, with the ways to them in the order in which a capture tries them (--hooks chooses one):"
    )
    width = max(len(result.way.family) for tried in hooks for result in tried.ways)
    for tried in hooks:
        print(f"  {tried.ladder.module}: {tried.ladder.hook.name}")
        for result in tried.ways:
            print(f"    {_state(result):7}  {result.way.family:{width}}  {', '.join(result.places)}")
            if result.reason:
                print(f"             {'':{width}}  because: {result.reason}")
        if not any(result.used for result in tried.ways):
            print(f"             {'':{width}}  so: {tried.ladder.hook.without or 'nothing can be captured'}")


def _print_shells(shells: list[LoginShell]) -> None:
    if shells:
        print("Login shells (/etc/shells); the commands entered in them are captured on request:")
    for shell in shells:
        path = clean_name(shell.path)
        if shell.module:
            name = f"{shell.module} {shell.version or ''}".rstrip()
            print(f"  works    {path}  {clean_name(name)}, with --module {shell.module}")
        else:
            print(f"  missing  {path}  because: {clean_name(shell.reason or '')}")


def _state(result: WayResult) -> str:
    return "used" if result.used else result.status


def _print_conclusion(obstacles: list[Result]) -> None:
    if obstacles:
        print(f"Nothing can be captured here: {obstacles[0].trial.name}: {obstacles[0].reason}")
    else:
        print("Capture is possible. `sudo plainwire capture` shows what programs say over TLS.")
