"""bash: the commands that are entered in it, and what they return."""

from __future__ import annotations

from plainwire.modules import KernelHook, Module, PromptHook, Way

MODULE = Module(
    name="bash",
    purpose="commands entered in bash, with their return codes",
    bpf_object="bash",
    implementations=frozenset({"bash"}),
    prompt_hooks=(PromptHook("call", "probe_bash_prompt"), PromptHook("line", "probe_bash_line")),
    kernel_hooks=(
        KernelHook(
            "end of a shell",
            (Way("tracepoint", ("shell_ended", "shell_replaced")),),
            without="the last command of a shell is told without its return code, when the capture ends",
        ),
    ),
    on_request=True,
)
