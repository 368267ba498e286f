"""Operations for tests of the root helper itself: each does one thing that a server has to live with."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from banger.helper.host import Host
from banger.helper.operation import Failed, Operation, Outcome, Refused


@dataclass(frozen=True)
class Part:
    """A structure within an operation."""

    name: str
    content: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Echo(Operation):
    """Every kind of field there is; answers what it got."""

    NAME = "test.echo"
    GATE = "nothing"

    text: str
    number: int = 0
    flag: bool = False
    content: bytes = b""
    maybe: str | None = None
    parts: tuple[Part, ...] = ()
    pair: tuple[str, int] = ("", 0)
    part: Part = field(default_factory=lambda: Part("default"))

    def turn(self) -> str:
        return ""

    def validate(self, host: Host) -> None:
        if self.text == "refuse me":
            raise Refused("as asked")

    def describe(self) -> str:
        return f"echo {self.text}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        if self.text == "fail":
            raise Failed("as asked", busy=self.flag)
        if self.text == "os error":
            os.open("/nonexistent/place", os.O_RDONLY)
        if self.text == "crash":
            raise ZeroDivisionError(self.content)
        if self.text == "large answer":
            return Outcome({"text": "x" * self.number})
        return Outcome({"text": self.text, "number": self.number, "size": len(self.content), "pair": self.pair})

    def undo(self, host: Host) -> None:
        if self.text == "refuse me":
            raise Refused("as asked, backwards")


@dataclass(frozen=True, kw_only=True)
class Exchange(Operation):
    """Takes a file, answers its first line, and sends back a pipe that holds the rest."""

    NAME = "test.exchange"
    GATE = "nothing"
    DESCRIPTORS = ("a file",)

    def describe(self) -> str:
        return "exchange"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        first, _, rest = os.pread(descriptors[0], 4096, 0).partition(b"\n")
        reader, writer = os.pipe()
        os.write(writer, rest)
        os.close(writer)
        return Outcome({"line": first.decode()}, (reader,))

    def undo(self, host: Host) -> None:
        """Nothing."""


@dataclass(frozen=True, kw_only=True)
class Mark(Operation):
    """Makes a file in two steps with a pause between them; takes it away again."""

    NAME = "test.mark"
    GATE = "nothing"

    name: str
    seconds: int = 0
    wary: bool = False
    """Refuse what is half made, as an interface that has a name of ours and not yet the mark."""

    def turn(self) -> str:
        return f"mark {self.name}"

    def validate(self, host: Host) -> None:
        begun, made = (os.path.exists(os.path.join(host.state, name)) for name in (f"{self.name}.begun", self.name))
        if self.wary and begun and not made:
            raise Refused("it is half made")

    def describe(self) -> str:
        return f"mark {self.name}"

    def execute(self, host: Host, descriptors: Sequence[int] = ()) -> Outcome:
        with open(os.path.join(host.state, f"{self.name}.begun"), "w") as file:
            file.write(str(os.getpid()))
        time.sleep(self.seconds)
        with open(os.path.join(host.state, self.name), "a") as file:
            file.write(".")
        return Outcome()

    def undo(self, host: Host) -> None:
        for name in (self.name, f"{self.name}.begun"):
            if os.path.exists(os.path.join(host.state, name)):
                os.unlink(os.path.join(host.state, name))


OPERATIONS: dict[str, type[Operation]] = {each.NAME: each for each in (Echo, Exchange, Mark)}
