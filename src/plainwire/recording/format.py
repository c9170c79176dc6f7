"""The file format of recordings: a line that says what it is, then records.

    plainwire recording 1\\n
    length (u32, little endian), record (msgpack array: the class's tag, then its fields)    … until the end

The number in the first line is `plainwire.decode.records.FORMAT`.
"""

from __future__ import annotations

import struct

from plainwire.decode.records import FORMAT

MAGIC = b"plainwire recording "
FIRST_LINE = MAGIC + b"%d\n" % FORMAT
MAX_FIRST_LINE = 32
LENGTH = struct.Struct("<I")
# No record is longer: the writer splits samples, the reader takes a greater length for damage.
MAX_RECORD = 64 * 1024 * 1024
