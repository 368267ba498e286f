"""Text that others supplied (a guest, an archive, a registry), made fit to be shown or logged.

Apart from `banger.log` because a verb that prints a table must not pay for loading the logging machinery.
"""


def printable(text: str | bytes, limit: int = 400) -> str:
    """``text`` on one line, without control characters or terminal escapes, at most ``limit`` characters."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in cut)
    return cut + ("..." if len(text) > limit else "")
