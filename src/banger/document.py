"""Documents: JSON text from plain data and back, for verbs that answer before `json` would be loaded.

It is the part of `json` that is written in C. The rest of that module, with the regular expressions and enumerations
that come with it, takes as long to load as the interpreter to start.
"""

from _json import encode_basestring_ascii, make_encoder, make_scanner

TYPE_CHECKING = False  # typing itself is not loaded: it would double the start of a verb
if TYPE_CHECKING:
    from typing import Any

    Kind = type | None | tuple["Kind", ...] | list["Kind"] | dict[str, "Kind"]

_WHITESPACE = " \t\n\r"


class _Rules:
    """What `json.loads` tells the scanner when it is told nothing."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: "dict[str, str]" = {}


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is no plain data")


_scan = make_scanner(_Rules())  # type: ignore[arg-type]  # it only looks for these attributes
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", False, False, True)


def loads(text: str | bytes) -> "Any":
    """The value of a document. Raises ValueError for what is none."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    begin = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        value, end = _scan(text, begin)
    except StopIteration as stop:
        raise ValueError(f"no JSON at character {stop.value}") from None
    if text[end:].strip(_WHITESPACE):
        raise ValueError(f"more than one document, at character {end}")
    return value


def fits(value: object, kind: "Kind") -> bool:
    """Whether plain data is of a kind.

    That is a type, or None; ``[kind]`` is a list of it, ``{name: kind}`` an object with such fields, of which an absent
    one is None, and whatever besides; a tuple is any of several.
    """
    if value is None and isinstance(kind, tuple) and None in kind:
        return True  # what most fields are
    if isinstance(kind, tuple):
        return any(fits(value, each) for each in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(each, kind[0]) for each in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(fits(value.get(name), each) for name, each in kind.items())
    return value is None if kind is None else isinstance(value, kind)


def dumps(value: object) -> str:
    """The document of plain data, in ASCII. Raises TypeError for anything else."""
    return "".join(_encode(value, 0))


def shown(value: object, margin: str = "\n") -> str:
    """As `dumps`, for people: a line for each field and element, indented by two. Keys are strings."""
    inner = margin + "  "
    if isinstance(value, dict) and value:
        fields = [f"{encode_basestring_ascii(name)}: {shown(each, inner)}" for name, each in value.items()]
        return "{" + inner + f",{inner}".join(fields) + margin + "}"
    if isinstance(value, (list, tuple)) and value:
        return "[" + inner + f",{inner}".join([shown(each, inner) for each in value]) + margin + "]"
    return dumps(value)
