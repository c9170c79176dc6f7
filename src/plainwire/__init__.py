"""What programs on this host say over TLS: plaintext, keys and packets, by eBPF."""
