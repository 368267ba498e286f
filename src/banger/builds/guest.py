"""A build on a base image: what is done in the machine that was made for it.

Its agent is process 1 there, so no service runs. Everything is said to the agent over its port: files as an archive,
scripts and commands as one argument of ``/bin/sh -e -c``. The guest is hostile like any other: its output is bounded
and made printable, and its answers are looked up in tables.
"""

from collections.abc import Mapping

from banger import errors
from banger.bootstrap import distribution
from banger.builds import payload, shell
from banger.builds.steps import Step
from banger.builds.suite import command_title
from banger.builds.work import Work
from banger.engine.change import Report
from banger.guest.channel import Channel
from banger.guest.command import ExecSpec, GuestCommand
from banger.oci import probe
from banger.vms.workers import Workers

ANSWER_LIMIT = 64 << 10
"""Most bytes of an answer that is looked at (an os-release, a path)."""


class GuestStep(Step):
    """A step inside the machine; nothing is done when there is a twin, and nothing is undone but with the machine."""

    def __init__(self, work: Work, workers: Workers, vm_id: str) -> None:
        super().__init__(work)
        self.workers = workers
        self.vm_id = vm_id

    async def do(self, report: Report) -> None:
        if self.work.twin is not None:
            return
        try:
            await self.act(await self.workers.channel(self.vm_id), report)
        except (errors.AgentLost, errors.ProtocolViolation) as lost:
            self.work.transcript.quote(report)
            raise self.work.failed(f"the machine was lost on the way: {lost.data['reason']}") from lost

    async def act(self, channel: Channel, report: Report) -> None:
        raise NotImplementedError

    async def run(self, channel: Channel, script: str, title: str, report: Report) -> None:
        """Run a script; its output goes to the log. Raises `errors.BuildFailed` with ``title`` when it fails."""
        work = self.work
        command = await self._start(channel, script, title)
        try:
            async for _, data in command.output():
                work.transcript.feed(report, bytes(data))
            end = await command.wait()
        except BaseException:
            await command.kill()
            raise
        if end.exit_code == 0:
            return
        work.transcript.quote(report)
        how = f"status {end.exit_code}" if end.exit_code is not None else f"signal {end.signal}"
        raise work.failed(f"{title}: it ended with {how}")

    async def ask(self, channel: Channel, script: str) -> str:
        """What a short script says."""
        command = await self._start(channel, script, "a question to the image")
        answer = bytearray()
        try:
            async for number, data in command.output():
                answer += data if number == 1 else b""
                if len(answer) > ANSWER_LIMIT:
                    break
            else:
                await command.wait()
        finally:
            await command.kill()
        return bytes(answer[:ANSWER_LIMIT]).decode("utf-8", "replace")

    async def _start(self, channel: Channel, script: str, title: str) -> GuestCommand:
        spec = ExecSpec(argv=("/bin/sh", "-e", "-c", script), env=dict(self._environment()), cwd="/", user="0:0")
        try:
            return await channel.exec(spec)
        except (errors.CommandNotFound, errors.CommandNotExecutable) as missing:
            raise self.work.failed(f"{title}: the image has no /bin/sh") from missing

    def _environment(self) -> Mapping[str, str]:
        """The base's variables and the recipe's on top of the usual ones, so that what the base sets up is found."""
        base = self.work.base.config.env if self.work.base is not None else []
        own = dict(each.split("=", 1) for each in base if "=" in each)
        return {**shell.ENVIRONMENT, **own, **self.work.built.config.env}


class Packages(GuestStep):
    """The distribution's tool found, and packages installed by it."""

    name = "packages"

    async def act(self, channel: Channel, report: Report) -> None:
        work, built = self.work, self.work.built
        wanted = bool(built.packages or built.systemd or built.ssh)
        if not (wanted or built.commands):
            return
        work.transcript.step(report, "looking at the base image")
        release = await self.ask(channel, shell.OS_RELEASE)
        work.tool = tool = distribution.tool_of(release)
        if tool is not None and tool.name == "apt-get":
            await self.run(channel, shell.HOLD_SERVICES, "preparing the image", report)
        if not wanted:
            return
        if tool is None:
            known = ", ".join(each.name for each in distribution.TOOLS)
            raise work.failed(f"the base image has none of the package tools that are known here ({known})")
        if built.systemd and not tool.systemd:
            raise work.failed("its distribution has no systemd; leave that out, the agent is process 1 then")
        names = distribution.packages(tool, built.packages, built.systemd, built.ssh)
        title = f"installing {len(names)} packages with {tool.name}"
        work.transcript.step(report, title)
        await self.run(channel, distribution.install_command(tool, names), title, report)
        if built.systemd and tool.name == "apt-get":
            await self.run(channel, shell.MASK_UNITS, "setting systemd up", report)
        if built.ssh:
            await self.run(channel, shell.SSH_SERVER, "setting the ssh server up", report)


class Files(GuestStep):
    """The recipe's files, with owners and modes."""

    name = "recipe-files"

    async def act(self, channel: Channel, report: Report) -> None:
        built = self.work.built
        if not built.files:
            return
        self.work.transcript.step(report, "the recipe's files")
        try:
            await channel.put("/", payload.chunks(self.work.files))
        except errors.GuestRefused as refused:
            raise self.work.failed(f"the recipe's files cannot be put in: {refused.message}") from refused
        owners = shell.owners(built.files)
        if owners:
            await self.run(channel, owners, "giving files their owners", report)


class Commands(GuestStep):
    """The recipe's commands, one after another."""

    name = "commands"

    async def act(self, channel: Channel, report: Report) -> None:
        commands = self.work.built.commands
        for number, command in enumerate(commands, 1):
            title = command_title(number, commands)
            self.work.transcript.step(report, title)
            await self.run(channel, command, title, report)


class Clean(GuestStep):
    """What is this one machine's own is removed, and all is written out. An image without a shell has nothing of it."""

    name = "clean"

    async def act(self, channel: Channel, report: Report) -> None:
        work = self.work
        work.transcript.step(report, "cleaning up")
        shell_there = True
        try:
            await self.ask(channel, ":")
        except errors.BuildFailed:
            shell_there = False
        if shell_there:
            if work.tool is not None:
                await self.run(channel, work.tool.clean, "removing what the package tool keeps", report)
            await self.run(channel, shell.CLEAN, "removing what is one machine's own", report)
            said = (await self.ask(channel, shell.INIT)).strip()
            work.init = said if said in probe.INIT_PATHS else None
        elif work.base is not None:
            work.init = work.base.init
        if work.built.ssh and work.init is None:
            report.notice("the image has no init: nothing starts its ssh server, and 'banger ssh' needs nothing to")
        work.material.assets = self.workers.assets(self.vm_id)
        await channel.sync()
