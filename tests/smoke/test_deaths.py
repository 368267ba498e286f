"""The crash matrix on a whole host: the daemon, the helper or a machine's monitor is killed at a moment of a change,
with jails, taps and device-mapper, and all that the host held for it is gone or in use afterwards."""

from collections.abc import Callable

import pytest

from tests.matrix.slices import SEED, WHOLE
from tests.smoke import moments
from tests.smoke.host import forks
from tests.smoke.host.box import Host
from tests.smoke.moments import Walk

LIMIT = 14400 if WHOLE else 600

pytestmark = pytest.mark.matrix


@pytest.mark.timeout(LIMIT, func_only=True)
@pytest.mark.parametrize("walk", moments.walks(), ids=str)
def test_what_dies_leaves_nothing(mortal: Host, walk: Walk, record_property: Callable[[str, object], None]) -> None:
    chosen = moments.of_walk(walk)
    told = list(forks.play(mortal, chosen, moments.victims(chosen[0].scenario)))
    wrong = [each for each in told if each.faults]
    record_property("matrix combinations on a host", len(told))
    record_property("matrix combinations on a host with faults", len(wrong))
    record_property("matrix as the seed", SEED)
    for each in told:
        print(f"{each.moment}: the {each.victim}, {each.seconds} s{', FAULTS' if each.faults else ''}")
    assert not wrong, "\n".join("\n    ".join([f"{each.moment}: the {each.victim}", *each.faults]) for each in wrong)
