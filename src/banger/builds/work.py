"""What the tasks of one build share while they run. None of it is needed to undo them."""

import os

from banger import errors
from banger.api.image import ImageConfig, Step
from banger.api.recipe import Built
from banger.bootstrap.distribution import Tool
from banger.builds import recipe
from banger.builds.transcript import Transcript
from banger.images import sources
from banger.images.making import Wanted
from banger.images.record import ImageRecord
from banger.images.service import ImageService
from banger.paths import Paths


class Work:
    """``image`` is what is to be made, ``built`` how; the rest is learned on the way."""

    def __init__(self, wanted: Wanted, built: Built, paths: Paths, images: ImageService) -> None:
        self.image = wanted
        self.built = built
        self.agent = images.agent
        self.files = files_path(paths, wanted.id)
        self.transcript = Transcript(os.path.join(paths.builds, f"{wanted.name}.log"))
        self.material = images.material()
        self.base: ImageRecord | None = None
        self.twin: ImageRecord | None = None
        """An image that was built alike: nothing is to be done but to share its file."""
        self.tool: Tool | None = None
        self.init: str | None = None

    @property
    def key(self) -> str:
        base = self.base.config if self.base is not None else ImageConfig()
        return recipe.key(self.built, self.image.size, sources.WRITER, base)

    @property
    def steps(self) -> tuple[Step, ...]:
        """How the image comes about, beginning with its base."""
        return (*(self.base.steps if self.base is not None else ()), *recipe.steps(self.built))

    def failed(self, reason: str) -> errors.BuildFailed:
        """The error of a step that failed; what was said is in the log."""
        error = errors.BuildFailed(name=self.image.name, reason=reason)
        error.advise(f"the whole output is in {self.transcript.path}")
        return error


def files_path(paths: Paths, image_id: str) -> str:
    """Where a recipe's files wait, in a directory that the images' own start removes when it is found there."""
    return os.path.join(paths.staging, f"image-{image_id}-files", "files.tar")
