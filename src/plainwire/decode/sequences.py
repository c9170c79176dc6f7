"""What is known of each connection between its events: the numbers that its next ones must bear."""

from __future__ import annotations

# At least as many as the map ssl_states holds: what the kernel still numbers must not be forgotten here, while what it
# has forgotten begins again at 0.
GENERATION = 65536
# In place of the next number: whatever comes is right.
UNKNOWN = -1


class ConnectionTable:
    """(pid, ssl) -> [number of the next read, number of the next write].

    Bounded: of two generations the older is dropped when the younger is full, and what is used moves to the younger.
    The loop over the samples looks into `young` itself and asks `enter` for what is not there.
    """

    def __init__(self, generation: int = GENERATION) -> None:
        self.young: dict[tuple[int, int], list[int]] = {}
        self.count = 0  # connections seen; an SSL structure used anew counts again
        self._old: dict[tuple[int, int], list[int]] = {}
        self._generation = generation

    def enter(self, key: tuple[int, int], first: int) -> list[int]:
        """The numbers of a connection that is not in `young`, which it then is; `first` where unknown."""
        numbers = self._old.pop(key, None)
        if numbers is None:
            numbers = [first, first]
            self.count += 1
        if len(self.young) >= self._generation:
            self._old = self.young.copy()
            self.young.clear()  # in place: others hold the dict
        self.young[key] = numbers
        return numbers

    def restart(self, numbers: list[int]) -> None:
        """The kernel's numbers began anew: another connection at the same address."""
        self.count += 1
        numbers[:] = [0, 0]
