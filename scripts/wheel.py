"""What hatchling asks when it builds a wheel: manual pages and completion scripts, made from the verb table then."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Share(BuildHookInterface[Any]):
    """Puts what `banger.cli.share` tells below ``share`` of the environment that the wheel is installed in."""

    _made: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, str(Path(self.root) / "src"))
        from banger.cli import share

        self._made = Path(tempfile.mkdtemp(prefix="banger-share-"))
        for name, text in share.files().items():
            path = self._made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        build_data["shared_data"][str(self._made)] = "share"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._made:
            shutil.rmtree(self._made)
