"""What all operations on one machine have in common: its id, and a turn of its own."""

from dataclasses import dataclass
from typing import ClassVar

from . import grammar
from .host import Host
from .operation import Operation


@dataclass(frozen=True, kw_only=True)
class OfMachine(Operation):
    """Base of them. Operations on the same ``RESOURCE`` of one machine take turns, those on others do not wait."""

    RESOURCE: ClassVar[str] = "machine"

    vm_id: str

    def validate(self, host: Host) -> None:
        grammar.vm_id(self.vm_id)

    def turn(self) -> str:
        return f"{self.RESOURCE} {self.vm_id}"
