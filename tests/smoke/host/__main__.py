"""A box to look around in: ``python -m tests.smoke.host`` runs each line of its standard input as root."""

import sys
import tempfile
from pathlib import Path

from tests.smoke.host import kit
from tests.smoke.host.box import Host
from tests.smoke.host.machine import Size
from tests.smoke.host.prepared import prepared


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, prepared(Size(), print) as ready:
        host = Host(ready, kit.build_wheel(Path(scratch)))
        try:
            host.resume()
            print("\n".join(host.said), "box# ", sep="\n", end="", flush=True)
            for line in sys.stdin:
                ended = host.run(line, check=False, timeout=600)
                print(f"{ended.stdout}{ended.stderr}[{ended.status}] box# ", end="", flush=True)
        finally:
            host.end()


if __name__ == "__main__":
    main()
