"""docs/connections.md and the class say the same."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from plainwire.events import ConnectionState
from tests.outputs.test_json_docs import in_words

DOCUMENT = (Path(__file__).parents[2] / "docs" / "connections.md").read_text()
SECTION = DOCUMENT.partition("### Once\n")[2].partition("\n## ")[0]


def test_every_field_is_documented_with_its_type_and_none_is_invented() -> None:
    info = msgspec.inspect.type_info(ConnectionState)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = {field.encode_name: in_words(field.type) for field in info.fields}
    documented = dict(re.findall(r"^\| `(.+?)` \| (.+?) \|", SECTION, re.MULTILINE))
    assert documented == {"kind": "string"} | fields
