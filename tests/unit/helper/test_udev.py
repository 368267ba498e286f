"""The udev rules name our devices and no others."""

import fnmatch
import re

from banger.helper import grammar, udev
from banger.helper.host import Host

MACHINE = "0123456789abcdef"


def test_every_device_of_ours_is_kept_from_those_who_probe() -> None:
    text = udev.rules(Host(owner_uid=1, owner_gid=1, state="/srv/[odd] state"))
    mapped = re.search(r'ATTR\{dm/name\}=="([^"]*)"', text)
    backed = re.search(r'ATTR\{loop/backing_file\}=="([^"]*)"', text)
    assert mapped is not None and backed is not None
    patterns = mapped[1].split("|")  # udev's own alternation
    for name in (grammar.mapper(MACHINE), grammar.mapper(MACHINE, work=True)):
        assert any(fnmatch.fnmatchcase(name, each) for each in patterns)
    assert not any(fnmatch.fnmatchcase("vg0-root", each) for each in patterns)
    assert fnmatch.fnmatchcase("/srv/[odd] state/vms/x/overlay", backed[1])
    assert not fnmatch.fnmatchcase("/srv/o state/vms/x/overlay", backed[1])
    for line in text.splitlines():
        if "ATTR" in line:
            assert 'UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}="1"' in line
            assert 'SYSTEMD_READY}="0"' in line
