"""The whole verb table."""

from banger.cli.verb import Group, Verb
from banger.cli.verbs import config, image, kernel, session, system, vm, workspace

GROUPS: tuple[Group, ...] = (
    *vm.GROUPS,
    *session.GROUPS,
    *workspace.GROUPS,
    *image.GROUPS,
    *kernel.GROUPS,
    *config.GROUPS,
    *system.GROUPS,
)
VERBS: tuple[Verb, ...] = (*(verb for group in GROUPS for verb in group.verbs), *system.SINGLE)
