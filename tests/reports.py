"""Reports of tasks that are run without an engine (`banger.engine.change.Report`)."""

from banger.api.operation import Progress


class Silent:
    """A report that nobody reads."""

    operation = ""

    def stage(self, text: str) -> None:
        """A new stage."""

    def notice(self, text: str) -> None:
        """Something to know."""

    def progress(self, progress: Progress | None) -> None:
        """How far it is."""

    def result(self, **values: int | str) -> None:
        """What came of it."""

    def record(self, **facts: object) -> None:
        """Facts to be committed."""
