"""docs/json.md and the classes say the same."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import msgspec
import pytest

from plainwire.events import SCHEMA, AnyEvent, Connection
from plainwire.outputs.losses import LOSSES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL))
COMMON = "Every line"
KINDS = {kind.KIND: kind for kind in typing.get_args(AnyEvent)}


def table(section: str, heading: str) -> dict[str, str]:
    """First column -> second column of the table whose first heading is `heading`."""
    (rows,) = re.findall(rf"^\| {heading} \|.*\n\| ---.*\n((?:\|.*\n)+)", SECTIONS[section], re.MULTILINE)
    return dict(re.findall(r"^\| `(.+?)` \| (.+?) \|", rows, re.MULTILINE))


def in_words(of: msgspec.inspect.Type) -> str:
    match of:
        case msgspec.inspect.UnionType(types):
            return " or ".join(sorted(map(in_words, types), key="null".__eq__))
        case msgspec.inspect.ListType(item_type=item):
            return f"array of {in_words(item)}"
        case msgspec.inspect.DictType(value_type=value):
            return f"object of {in_words(value)}"
    return {
        msgspec.inspect.StructType: "object",
        msgspec.inspect.StrType: "string",
        msgspec.inspect.BytesType: "string",
        msgspec.inspect.LiteralType: "string",
        msgspec.inspect.IntType: "integer",
        msgspec.inspect.BoolType: "boolean",
        msgspec.inspect.NoneType: "null",
    }[type(of)]


def test_every_kind_has_a_section() -> None:
    assert SECTIONS.keys() == {COMMON, *KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_documented_with_its_type_and_none_is_invented(kind: str) -> None:
    info = msgspec.inspect.type_info(KINDS[kind])
    assert isinstance(info, msgspec.inspect.StructType)
    assert info.tag == kind
    fields = {field.encode_name: in_words(field.type) for field in info.fields}
    documented = table(COMMON, "field") | table(kind, "field")
    assert documented == {"kind": "string"} | fields


def test_every_part_of_a_connection_is_documented() -> None:
    info = msgspec.inspect.type_info(Connection)
    assert isinstance(info, msgspec.inspect.StructType)
    assert table("data", "part") == {field.encode_name: in_words(field.type) for field in info.fields}


def test_the_schema_number_is_the_one_written() -> None:
    assert f"`schema` is {SCHEMA}." in DOCUMENT
    assert f"version of this description: {SCHEMA} |" in DOCUMENT


def test_every_reason_of_a_loss_is_documented() -> None:
    assert table("loss", "reason").keys() == LOSSES.keys()
