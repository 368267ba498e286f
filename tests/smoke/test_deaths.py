"""The crash matrix on a whole host: the daemon, the helper or a machine's monitor is killed at a boundary of a change,
with jails, taps and device-mapper, and all that the host held for it is gone or in use afterwards."""

import json
from collections.abc import Callable

import pytest

from tests.matrix.slices import SEED, WHOLE
from tests.smoke import moments
from tests.smoke.host.box import Host
from tests.smoke.host.stages import MATRIX_ENV, PYTHON
from tests.smoke.moments import Death

LIMIT = 14400 if WHOLE else 600

pytestmark = pytest.mark.matrix


@pytest.mark.timeout(LIMIT + 60, func_only=True)
@pytest.mark.parametrize("death", moments.deaths(), ids=str)
def test_what_dies_leaves_nothing(mortal: Host, death: Death, record_property: Callable[[str, object], None]) -> None:
    found = moments.of_death(death)
    argv = [PYTHON, "-m", "tests.matrix.scene", found[0].scenario, "firecracker", "--victim", death.victim]
    plan = json.dumps([each.document() for each in found]).encode()
    ended = mortal.run(argv, env=MATRIX_ENV, cwd="/", stdin=plan, timeout=LIMIT, check=False)
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    wrong = [each for each in told if each["faults"]]
    record_property("matrix combinations on a host", len(told))
    record_property("matrix combinations on a host with faults", len(wrong))
    record_property("matrix as the seed", SEED)
    text = "\n".join("\n    ".join([each["scenario"], each["instant"], *each["faults"]]) for each in wrong)
    assert not wrong, text
    assert (ended.status, len(told)) == (0, len(found)), ended.stderr[-4000:]
