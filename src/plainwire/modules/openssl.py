"""The OpenSSL family: plaintext at SSL_read, SSL_write and their relatives (<openssl/ssl.h>)."""

from __future__ import annotations

from plainwire.modules import Hook, KernelHook, Module, Way

_READ = "probe_ret_SSL_read"
_WRITE = "probe_ret_SSL_write"

MODULE = Module(
    name="openssl",
    purpose="plaintext of OpenSSL, BoringSSL, LibreSSL and AWS-LC",
    bpf_object="openssl",
    key_object="secrets",
    shared_objects=("connections",),
    key_hooks=(
        *(Hook(function, "probe_secrets") for function in ("SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex")),
        Hook("SSL_shutdown", "probe_secrets"),
        Hook("SSL_free", "probe_secrets_free"),
    ),
    implementations=frozenset({"OpenSSL", "BoringSSL", "LibreSSL", "AWS-LC"}),
    required=frozenset({"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex"}),
    hooks=(
        Hook("SSL_read", "probe_entry_SSL_read", _READ),
        Hook("SSL_read_ex", "probe_entry_SSL_read_ex", _READ),
        Hook("SSL_read_early_data", "probe_entry_SSL_read_early_data", _READ),
        Hook("SSL_write", "probe_entry_SSL_write", _WRITE),
        Hook("SSL_write_ex", "probe_entry_SSL_write_ex", _WRITE),
        Hook("SSL_write_ex2", "probe_entry_SSL_write_ex2", _WRITE),
        Hook("SSL_write_early_data", "probe_entry_SSL_write_early_data", _WRITE),
        Hook("SSL_sendfile", "probe_entry_SSL_sendfile", _WRITE),
        Hook("SSL_set_fd", "probe_SSL_set_fd"),
        Hook("SSL_set_rfd", "probe_SSL_set_fd"),
        Hook("SSL_set_wfd", "probe_SSL_set_fd"),
        Hook("SSL_free", "probe_SSL_free"),
    ),
    kernel_hooks=(
        KernelHook("end of a thread", (Way("tracepoint", ("forget_calls",)),)),
        KernelHook(
            "socket used inside a call",
            (
                Way("tracepoint", ("socket_sent", "socket_received")),
                Way("kprobe", ("probe_tcp_sendmsg", "probe_tcp_recvmsg")),
                Way("fentry", ("enter_tcp_sendmsg", "enter_tcp_recvmsg")),
            ),
            without="connections are known only where the program names its descriptor by SSL_set_fd",
        ),
        KernelHook(
            "ClientHello on its way",
            (Way("cgroup", ("hello_sent", "hello_received")),),
            without="the connections of programs with memory BIOs, such as Node and asyncio, stay unknown",
        ),
    ),
)
