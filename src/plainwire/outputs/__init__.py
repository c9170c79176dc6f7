"""What receives events: text, JSON and hex dumps, on stdout and in files."""

from plainwire.outputs.losses import summary
from plainwire.outputs.output import FormatName, Output, OutputSet, StreamOutput, open_output
from plainwire.outputs.style import style_for

__all__ = ["FormatName", "Output", "OutputSet", "StreamOutput", "open_output", "style_for", "summary"]
