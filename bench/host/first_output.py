"""``first_output.py COMMAND...``, on the box: the seconds until the command's first output; it then runs to its end."""

import subprocess
import sys
import time

begun = time.perf_counter()
with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
    assert process.stdout is not None
    said = process.stdout.read(1)
    seconds = time.perf_counter() - begun
    process.stdout.read()
if process.returncode != 0 or not said:
    sys.exit(f"{sys.argv[1:]} ended with {process.returncode}")
print(seconds)
