"""What can go wrong in a way that the user can act on. Everything else is a bug and keeps its traceback."""

from __future__ import annotations


class PlainwireError(Exception):
    """Base of every error that ends a command with one line and `exit_status`.

    The message says what went wrong, on what, and what to do about it.
    """

    exit_status = 2


class InputError(PlainwireError):
    """What the user named can't be used: no such process, not an ELF file, an unwritable output."""


class PermissionMissingError(PlainwireError):
    """A capability is missing; the message names it."""


class KernelUnsupportedError(PlainwireError):
    """This kernel can't do what capture needs; the message names the feature."""


class AbiMismatchError(PlainwireError):
    """An event class and the BTF of the object disagree; the message names the field."""


class RecordingError(PlainwireError):
    """A file is no recording, or one that this version can't read."""
