"""The host's rsync in a machine whose image has none: the program with its libraries and loader, below `PLACE`."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from banger import proc
from tests.home import Home

PLACE = "/root/kit"


def bring(home: Home, name: str, scratch: Path) -> str:
    """Copy it into a machine; the command that runs it there, for rsync's ``--rsync-path``."""
    binary = proc.find("rsync")
    kit = scratch / "kit"
    kit.mkdir()
    told = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True, timeout=30).stdout
    libraries = re.findall(r"(/\S+) \(0x", told)
    for each in (binary, *libraries):
        shutil.copy(os.path.realpath(each), kit / os.path.basename(each))
    home.banger("cp", str(kit), f"{name}:/root/", check=True)
    loader = next(os.path.basename(each) for each in libraries if "ld-linux" in each)
    return f"{PLACE}/{loader} --library-path {PLACE} {PLACE}/rsync"
