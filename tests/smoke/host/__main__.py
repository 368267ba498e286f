"""A box to look around in: ``python -m tests.smoke.host`` runs each line of its standard input as root."""

import sys

from tests.smoke.host.box import running


def main() -> None:
    with running(print) as host:
        print("box# ", end="", flush=True)
        for line in sys.stdin:
            ended = host.run(line, check=False, timeout=600)
            print(f"{ended.stdout}{ended.stderr}[{ended.status}] box# ", end="", flush=True)


if __name__ == "__main__":
    main()
