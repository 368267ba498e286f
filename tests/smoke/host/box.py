"""The box as tests see it: its stages, commands with a status, files in and out, and what is left behind.

A stage is a saved state, memory and all, inside the session's own disk: to begin from it takes a second, whatever it
took to make it. There is always the bare one, with the wheel installed; each other is made on first use.
"""

import contextlib
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from banger.vmm.qemu import qmp
from tests.kept import Report
from tests.smoke.host import inputs, inventory, line, machine, prepared
from tests.smoke.host.inventory import Inventory
from tests.smoke.host.line import Ended, Line, Silent
from tests.smoke.host.machine import Machine, Size
from tests.smoke.host.prepared import Prepared

__all__ = ["CommandFailed", "Ended", "Host", "Silent", "Size", "Stage", "running"]

INSTALL = "/opt/banger/bin/pip install --quiet --no-index --no-deps --force-reinstall --no-warn-script-location "

COPIED = "copied"
"""The saved state from which a copy of the disk is made."""

Command = str | Sequence[str]


class Stage(NamedTuple):
    """A state of the box that scenarios begin from: how it is made, and out of which other."""

    name: str
    make: "Callable[[Host], None] | None"
    after: "Stage | None" = None


BARE = Stage("bare", None)
"""The wheel is there, and nothing else is banger's."""


class CommandFailed(AssertionError):
    """A command in the box ended otherwise than the test wants."""


@contextlib.contextmanager
def running(report: Report, size: Size = Size()) -> Iterator["Host"]:  # noqa: B008 - a constant
    """A box with the wheel of this checkout, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="banger-wheel-") as scratch, prepared.prepared(size, report) as ready:
        host = Host(ready, inputs.build_wheel(Path(scratch)))
        try:
            host.resume()
            yield host
        finally:
            host.end()
            for text in host.said:
                report(text)


class Host:
    """The box. ``said`` is what the session's report shows in the end."""

    def __init__(self, ready: Prepared, wheel: Path) -> None:
        self._ready = ready
        self._wheel = wheel
        self._machine: Machine | None = None
        self._line: Line | None = None
        self.directory: Path | None = None
        """Of this side, with the emulator's logs."""
        self.said: list[str] = []
        self.lost = False
        """It hangs: no further answer is waited for."""
        self._stages: dict[Stage, Inventory] = {}
        """Those that are saved in this box, with what the box held then."""
        self.stage = BARE
        self._spent = False

    # -- its life -----------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """A box as it was saved, with the wheel under test installed. A try that fails is made once more."""
        try:
            self._resume()
        except (Silent, RuntimeError, CommandFailed) as fault:
            self.said.append(f"a second try to resume the host: {fault}")
            self.end()
            self._resume()

    def _resume(self) -> None:
        begun = time.monotonic()
        self.directory = prepared.run_directory()
        machine.saved_disk(self.directory, self._ready.saved)
        self._start(machine.PREPARED)
        answered = time.monotonic()
        self.put(self._wheel, f"/root/{self._wheel.name}")
        self.run(f"{INSTALL} /root/{self._wheel.name} && rm /root/{self._wheel.name}", timeout=300)
        installed = time.monotonic()
        self._stages = {BARE: self._settled()}
        self.save(BARE.name)
        self._begin(BARE)
        self.said.append(
            f"resumed in {answered - begun:.1f} s, banger installed in {installed - answered:.1f} s, "
            f"saved in {time.monotonic() - installed:.1f} s"
        )

    def _start(self, state: str) -> None:
        assert self.directory is not None
        self._machine = Machine(self.directory, self._ready.parts, self._ready.size, resume=state)
        self._machine.listening()
        self._attach(self._machine)

    def save(self, state: str) -> None:
        """Keep the box as it is now, disk and memory, for `recall`."""
        assert self._machine is not None, "the box is not running"
        self._machine.save(state)

    def recall(self, state: str) -> None:
        """Be what was saved, in an emulator that is new: it has seen nothing that came after."""
        assert self._machine is not None, "the box is not running"
        self._let_go()
        self._machine.end()
        self._start(state)

    def forget(self, state: str) -> None:
        """Remove what was saved."""
        assert self._machine is not None, "the box is not running"
        self._machine.forget(state)

    def _attach(self, running: Machine) -> None:
        self._line, self.lost = Line(), False
        self._line.attach(running.agent_socket, machine.RESUME_SECONDS)
        self._line.set_clock()

    def fresh(self) -> None:
        """The box as it was at its stage's beginning; one that hangs or has ended is replaced by a bare one."""
        if self.alive and not self.lost:
            try:
                self._go_back(self.stage)
                return
            except (Silent, RuntimeError, qmp.QmpError) as fault:
                self.said.append(f"a box that could not be made fresh was replaced: {fault}")
        self.end()
        self.resume()

    def enter(self, stage: "Stage") -> None:
        """Be at a stage: saved states are gone back to, others are made, after the stages that they build on."""
        if self.lost or not self.alive:
            self.fresh()
        if self.stage == stage and not self._spent:
            return
        if stage in self._stages:
            self._go_back(stage)
            return
        assert stage.make is not None, "the bare box is always there"
        self.enter(stage.after or BARE)
        begun = time.monotonic()
        stage.make(self)
        made = time.monotonic()
        self._stages[stage] = self._settled()
        self.save(stage.name)
        self._begin(stage)
        self.said.append(f"stage {stage.name} made in {made - begun:.1f} s, saved in {time.monotonic() - made:.1f} s")

    def _go_back(self, stage: "Stage") -> None:
        assert self._machine is not None
        begun = time.monotonic()
        self._let_go()
        self._machine.go_back(stage.name)
        self._attach(self._machine)
        self._begin(stage)
        self.said.append(f"back at stage {stage.name} in {time.monotonic() - begun:.1f} s")

    def _begin(self, stage: "Stage") -> None:
        self.stage, self._spent = stage, False

    def _let_go(self) -> None:
        if self._line is not None:
            with contextlib.suppress(Silent):
                self._line.close()
            self._line = None

    def end(self) -> None:
        """Kill the box and remove all of it."""
        if self._machine is not None:
            self._machine.end()
            self._machine = None
        self._let_go()
        if self.directory is not None:
            machine.remove(self.directory)
            self.directory = None

    def copy_disk(self, target: Path) -> None:
        """A raw copy of the disk as it is now, with nothing of it in memory alone."""
        assert self._machine is not None, "the box is not running"
        self.run("sync", timeout=120)
        self.save(COPIED)
        argv = ["qemu-img", "convert", "-U", "-l", f"snapshot.name={COPIED}", "-O", "raw"]
        subprocess.run([*argv, str(self._machine.directory / "root.qcow2"), str(target)], timeout=300, check=True)
        self.forget(COPIED)

    @property
    def ready(self) -> Prepared:
        """What the box is made of."""
        return self._ready

    @property
    def version(self) -> str:
        """The version of the wheel under test."""
        return self._wheel.name.split("-")[1]

    @property
    def alive(self) -> bool:
        return self._machine is not None and self._machine.alive

    # -- commands and files -------------------------------------------------------------------------------------------

    def run(
        self,
        command: Command,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: bytes | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> Ended:
        """Run an argv, or a line of bash, as root or ``user``, to its end or for ``timeout`` seconds.

        With ``check``, a status that is not 0 is `CommandFailed`, with all that the command said.
        """
        if self._line is None:
            raise Silent("the box is not running")
        argv = (*line.SHELL, command) if isinstance(command, str) else tuple(command)
        try:
            ended = self._line.run(argv, user=user, env=env or {}, cwd=cwd, stdin=stdin, timeout=timeout)
        except Silent:
            self.lost = True
            raise
        if check and ended.status != 0:
            shown = command if isinstance(command, str) else " ".join(command)
            raise CommandFailed(f"{shown}\nended with {ended.status}:\n{ended.stdout}{ended.stderr}")
        return ended

    def banger(self, *arguments: str, user: str | None = "owner", timeout: float = 120, check: bool = True) -> Ended:
        """``banger ARGUMENTS``, as the owner unless somebody else is named."""
        return self.run(["banger", *arguments], user=user, timeout=timeout, check=check)

    def put(self, source: Path, path: str, timeout: float = 120) -> None:
        """Copy a file or directory into the box; root owns it there. The directory above ``path`` must be there."""
        if self._line is None:
            raise Silent("the box is not running")
        parent, _, name = path.rpartition("/")
        self._line.put(line.tar_of(source, name), parent or "/", timeout)

    def get(self, path: str, target: Path, timeout: float = 120) -> Path:
        """Copy a file or directory of the box into the directory ``target``; where it is now."""
        if self._line is None:
            raise Silent("the box is not running")
        with self._line.get(path, timeout) as archive:
            # an attribute, since the argument came with 3.11.4; without it, owners are kept by root alone
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(target)  # noqa: S202 - what comes from the box is our own
        return target / Path(path).name

    def read(self, path: str) -> str:
        """The text of a file in the box."""
        return self.run(["cat", path]).stdout

    def until(self, command: Command, timeout: float = 60, **options: str) -> Ended:
        """Run a command again and again until it succeeds. Raises `CommandFailed` when it does not in time."""
        deadline = time.monotonic() + timeout
        while True:
            ended = self.run(command, check=False, user=options.get("user"))
            if ended.status == 0:
                return ended
            if time.monotonic() > deadline:
                raise CommandFailed(f"{command}: still {ended.status} after {timeout} s: {ended.stdout}{ended.stderr}")
            time.sleep(0.3)

    # -- what is left, and what was said ------------------------------------------------------------------------------

    def inventory(self) -> Inventory:
        """What the box holds now."""
        return Inventory(self.run(["python3", "-IS", "-c", inventory.SCRIPT], timeout=120).stdout)

    def left_since(self, before: Inventory, patience: float = 15) -> list[str]:
        """What is there now and was not before; what is on its way out gets ``patience`` seconds."""
        deadline = time.monotonic() + patience
        while True:
            left = self.inventory().new_since(before, standing=self.stage is BARE)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.5)

    def spend(self) -> None:
        """What the stage has is this scenario's to take away: only what it leaves behind is judged."""
        self._spent = True

    def changes(self, patience: float = 15) -> list[str]:
        """What is not as it was when the stage began, in words; what is on its way gets ``patience`` seconds."""
        before, exact = self._stages[self.stage], self.stage is BARE
        deadline = time.monotonic() + patience
        while True:
            now = self.inventory()
            found = [f"left behind: {each}" for each in now.new_since(before, standing=exact)]
            if not self._spent:
                found += [f"gone: {each}" for each in now.gone_since(before, standing=exact)]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.5)

    def _settled(self) -> Inventory:
        """What the box holds when nothing comes and goes any more."""
        before = self.inventory()
        for _ in range(20):
            now = self.inventory()
            if not now.new_since(before) and not now.gone_since(before):
                break
            before = now
        return before
