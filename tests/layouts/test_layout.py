from __future__ import annotations

from plainwire.layouts.layout import VALUES, Layout, combine


def test_ways_that_disagree_leave_nothing_to_use() -> None:
    findings = combine(
        {
            "getters": {"version": (0,), "rbio": (0x10,), "bio_fd": (0x10, 0x38)},
            "calibration": {"version": (0,), "rbio": (0x18,), "client_random": (0x160,)},
        }
    )
    layout = Layout("f", "i", None, "x86_64", "OpenSSL", None, findings)
    assert layout.paths == {"version": (0,), "bio_fd": (0x10, 0x38), "client_random": (0x160,)}
    assert layout.disagreeing == ("rbio",)
    assert layout.values["rbio"].by_way == {"getters": (0x10,), "calibration": (0x18,)}
    assert set(layout.missing) == VALUES.keys() - {"version", "bio_fd", "client_random", "rbio"}
