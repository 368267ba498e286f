"""``image import`` takes an archive or a directory, never both or neither."""

import pytest

from banger import errors
from banger.cli import cmd_image_import, parser
from banger.cli.terminal import Terminal
from banger.cli.verb import Verb
from banger.cli.verbs import find


@pytest.mark.parametrize("words", [["--name", "a"], ["rootfs.tar", "--dir", "rootfs", "--name", "a"]])
def test_one_source_is_needed(words: list[str]) -> None:
    verb, _ = find(["image", "import"])
    assert isinstance(verb, Verb)
    arguments = parser.parse(verb, words)
    with pytest.raises(errors.UsageError, match="either an archive, FILE, or a directory"):
        cmd_image_import.run(arguments, Terminal())
