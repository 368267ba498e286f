"""A build of a Debian suite: mmdebstrap installs the packages, puts the files in and runs the commands, without root.

The recipe never becomes part of a command line on this host: files and commands travel in one archive of ours, which
mmdebstrap unpacks in the new root, and constant hooks do the rest in there.
"""

import asyncio
import os
import secrets
import shlex
from collections.abc import Sequence

from banger import errors
from banger.bootstrap import distribution
from banger.builds import payload, shell
from banger.builds.steps import Assemble, Step
from banger.builds.work import Work
from banger.engine.change import Report, Task
from banger.images import making, sources
from banger.images.record import ImageRecord
from banger.oci import debian
from banger.paths import Paths
from banger.store.records import Records

TOOL = distribution.TOOLS[0]
COMMANDS = "commands.tar"


class Bootstrap(Step):
    """An archive of the whole root file system."""

    name = "bootstrap"

    def __init__(self, work: Work, paths: Paths) -> None:
        super().__init__(work)
        self.directory = os.path.join(paths.staging, making.STAGING + work.image.id)
        self.token = f"banger-{secrets.token_hex(8)}"
        self.ours = False
        """What is heard comes from the recipe's own commands."""
        self.ended = ""
        """How a command ended that failed, in words."""

    async def do(self, report: Report) -> None:
        work, built = self.work, self.work.built
        if work.twin is not None:
            return
        work.transcript.step(report, f"packages of {built.suite}")
        path = sources.archive_path(self.directory)
        work.material.own.append(path)
        try:
            await debian.build_rootfs_tar(
                built.suite,
                packages(work),
                path,
                mirror=built.mirror,
                hooks=self._hooks(),
                progress=lambda stage, done, total: report.stage(stage),
                heard=lambda line: self._hear(report, line),
            )
        except errors.BuildFailed as failed:
            work.transcript.quote(report)
            raise work.failed(self.ended or str(failed.data["reason"])) from failed
        payload.remove(os.path.join(self.directory, COMMANDS))
        await sources.archive(work.material, path, report)
        await asyncio.to_thread(sources.equip, work.material, work.agent, self.directory)

    async def undo(self, report: Report) -> None:
        await debian.discard(sources.archive_path(self.directory))

    def _hooks(self) -> list[str]:
        """The files, then our script beside the commands, then the script is run."""
        built = self.work.built
        if not built.files and not built.commands:
            return []
        script = shell.suite_script(
            built.files, len(built.commands), {**shell.ENVIRONMENT, **built.config.env}, self.token
        )
        entries = [payload.entry(f"{shell.PLACE}/run", script.encode(), 0o600)]
        for number, command in enumerate(built.commands, 1):
            entries.append(payload.entry(f"{shell.PLACE}/{number}", command.encode() + b"\n", 0o600))
        own = os.path.join(self.directory, COMMANDS)
        with open(own, "wb") as file:
            file.write(payload.packed(entries))
        return [f"tar-in {shlex.quote(self.work.files)} /", f"tar-in {shlex.quote(own)} /", shell.SUITE_HOOK]

    def _hear(self, report: Report, line: str) -> None:
        work = self.work
        if not line.startswith(self.token):
            said = line.encode("utf-8", "replace") + b"\n"
            work.transcript.feed(report if self.ours else None, said)
            return
        word, _, status = line.removeprefix(self.token).strip().partition(" ")
        commands = work.built.commands
        self.ours = word not in ("done", "failed")
        if word.isdecimal() and 1 <= int(word) <= len(commands):
            work.transcript.step(report, command_title(int(word), commands))
            self.ended = f"{command_title(int(word), commands)}: it did not end"
        elif word == "failed":
            self.ended = self.ended.replace(": it did not end", f": it ended with status {status}")
        elif word == "files":
            work.transcript.step(report, "the recipe's files")
        else:
            self.ended = ""
            work.transcript.step(report, "finishing")


class WriteImage(Assemble):
    """The file system, written from the archive."""

    def _twin(self) -> ImageRecord | None:
        return super()._twin() or making.Build._twin(self)


def packages(work: Work) -> list[str]:
    built = work.built
    return distribution.packages(TOOL, built.packages, built.systemd, built.ssh)


def command_title(number: int, commands: Sequence[str]) -> str:
    """A command as it is shown: its number, and its text on one line."""
    return f"command {number} of {len(commands)}: {' '.join(commands[number - 1].split())}"


def tasks(work: Work, records: Records[ImageRecord], paths: Paths) -> list[Task]:
    return [Bootstrap(work, paths), WriteImage(work, records, paths)]
