"""Go's crypto/tls: plaintext where records are written and at the RETs of (*Conn).Read; keys at writeKeyLog."""

from __future__ import annotations

from plainwire.modules import GoHook, KernelHook, Module, Way

_READ = "crypto/tls.(*Conn).Read"

MODULE = Module(
    name="gotls",
    purpose="plaintext and keys of Go programs",
    bpf_object="gotls",
    implementations=frozenset({"Go crypto/tls"}),
    go_hooks=(
        GoHook(_READ, "returns", register="probe_go_read_return_register", stack="probe_go_read_return_stack"),
        GoHook(_READ, "body", register="probe_go_read_register"),
        GoHook(
            "crypto/tls.(*Conn).writeRecordLocked",
            "body",
            register="probe_go_write_register",
            stack="probe_go_write_stack",
        ),
        GoHook(
            "crypto/tls.(*Config).writeKeyLog",
            "body",
            register="probe_go_key_log_register",
            stack="probe_go_key_log_stack",
            gives="keys",
        ),
        GoHook("crypto/tls.(*Conn).Close", "body", register="probe_go_close_register", stack="probe_go_close_stack"),
    ),
    kernel_hooks=(
        KernelHook(
            "socket used inside a call on a wrapped connection",
            (
                Way("tracepoint", ("go_socket_sent", "go_socket_received")),
                Way("kprobe", ("go_probe_tcp_sendmsg", "go_probe_tcp_recvmsg")),
                Way("fentry", ("go_enter_tcp_sendmsg", "go_enter_tcp_recvmsg")),
            ),
            without="connections over a net.Conn of the program's own that holds its socket out of sight stay unknown",
        ),
    ),
)
