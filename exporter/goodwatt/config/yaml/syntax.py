"""Rewrites YAML syntax errors as instructions. The parser's own messages quote the file, so they are never shown."""

import re

from yaml.error import MarkedYAMLError

# Each row: how PyYAML's problem starts, the message, and whether its line is the start of the construct.
_MESSAGES = (
    (r"found character '\\t'", "a tab where YAML needs spaces; indent with spaces", False),
    (r"found character", "a value cannot begin with this character; put the value in quotes", False),
    (
        r"mapping values are not allowed",
        "unexpected ':': the line above lacks its ':', the indentation is wrong, or a value needs quotes",
        False,
    ),
    (r"could not find expected ':'", "a key lacks its ':', or a continued value is not indented enough", True),
    (
        r"found undefined alias",
        "this alias (*name) has no anchor (&name) above it; put the value in quotes if it is plain text",
        False,
    ),
    (r"second occurrence", "the anchor (&name) is already defined above; rename one of them", False),
    (r"but found another document", "a second YAML document begins here (---); keep only one", False),
    (r"found unexpected (end of stream|document separator)", "the quote that opens here is never closed", True),
    (
        r"expected <block end>",
        "the indentation does not match the lines above, or text follows a value; align the line",
        False,
    ),
    (r"expected ',' or", "the [...] or {...} lacks a comma or its closing bracket", False),
    (r"found unknown escape character|expected escape sequence", "an unknown \\ escape; use single quotes", False),
    (
        r"expected alphabetic or numeric character",
        "a value cannot begin with & or * unless a name follows; put the value in quotes",
        False,
    ),
    (r"did not find expected|expected the node content", "a value is missing before this place", False),
)
_OTHERWISE = "is not valid YAML; check the quotes, colons and indentation of this line and the one above"


def syntax_message(error: MarkedYAMLError) -> tuple[int | None, str]:
    """Return the line (from 1) and one sentence on what to change, which quotes nothing from the file."""
    problem = error.problem or ""
    for pattern, message, at_start in _MESSAGES:
        if re.match(pattern, problem):
            return _line(error, at_start), message
    return _line(error, False), _OTHERWISE


def _line(error: MarkedYAMLError, at_start: bool) -> int | None:
    marks = (error.context_mark, error.problem_mark) if at_start else (error.problem_mark, error.context_mark)
    mark = next((mark for mark in marks if mark is not None), None)
    return None if mark is None else int(mark.line) + 1
