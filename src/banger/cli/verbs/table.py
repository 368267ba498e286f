"""The whole verb table."""

from banger.cli.verb import Group, Verb
from banger.cli.verbs import image, kernel, system, vm, workspace

GROUPS: tuple[Group, ...] = (*vm.GROUPS, *workspace.GROUPS, *image.GROUPS, *kernel.GROUPS, *system.GROUPS)
VERBS: tuple[Verb, ...] = (*(verb for group in GROUPS for verb in group.verbs), *system.SINGLE)
