"""Whether ours and ``umoci unpack`` made the same of an image, entry by entry (`tests.layer_oracle`), as a program.

    python -m bench.sameness image FILE NOTE       what is in a file system
    python -m bench.sameness tree DIRECTORY NOTE   what is in a directory
    python -m bench.sameness compare NOTE NOTE SINCE

Each in a process of its own, because a process that a bench starts counts as large as the bench once was.
"""

import sys
from pathlib import Path

import msgspec
from tests import layer_oracle

_SHOWN = 20


def main(arguments: list[str]) -> int:
    verb, first, second, *rest = arguments
    if verb == "compare":
        one, other = (
            dict(msgspec.msgpack.decode(Path(each).read_bytes(), type=list[tuple[bytes, layer_oracle.Facts]]))
            for each in (first, second)
        )
        wrong = layer_oracle.difference(one, other, int(rest[0]))
        for name, pair in list(wrong.items())[:_SHOWN]:
            print(name, *pair, file=sys.stderr)
        print(f"{len(other)} entries compared, {len(wrong)} differ", file=sys.stderr)
        return 1 if wrong or not one else 0
    found = layer_oracle.mounted(Path(first)) if verb == "image" else layer_oracle.facts(Path(first))
    Path(second).write_bytes(msgspec.msgpack.encode(list(found.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
