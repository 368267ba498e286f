"""What a verb raises when several of its targets failed."""

TYPE_CHECKING = False  # typing itself is not loaded: it would cost a verb a tenth of its start-up
if TYPE_CHECKING:
    from collections.abc import Sequence

    from banger.errors import BangerError


class Failures(Exception):
    """Several targets failed, each with its own error."""

    def __init__(self, failures: "Sequence[BangerError]") -> None:
        super().__init__(f"{len(failures)} failed")
        self.failures = list(failures)
