"""The operator's tutorial, as it stands, on the host that it is about."""

from tests.home import TREE
from tests.smoke.host.box import Host
from tests.smoke.host.image import OWNER
from tests.transcript import steps

PAGE = TREE / "docs" / "tutorial" / "operator.md"


def test_what_the_operator_is_shown_happens(stocked: Host) -> None:
    """The box has no sudo: root types what begins with it."""
    for step in steps(PAGE):
        command = step.command.removeprefix("sudo ")
        user = OWNER if command == step.command else None
        done = stocked.run(command, user=user, cwd=f"/home/{OWNER}", env={"USER": OWNER}, timeout=280, check=False)
        shown = f"$ {step.command}\n{done.stdout}{done.stderr}\n-- expected:\n{step.expected}"
        assert step.matches(done.stdout), shown
    stocked.run(f"rm /home/{OWNER}/boot /home/{OWNER}/report")
