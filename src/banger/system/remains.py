"""What the helper has made on the host and in its kernel, taken away when nobody needs it any more.

It is the undoing of the helper's own operations, so what banger did not make is as safe from it as from any caller.
"""

import asyncio
import os
import re

from banger import errors
from banger.privileged.installation import Host
from banger.privileged.operations import Bridge, Disks, Jails, RemoveDisk, Resolver, Rules, Sweep, Tap
from banger.privileged.runner import Local, Privileged

_TAP = re.compile(r"tap-fc-(0|[1-9][0-9]{0,3})")
_ANY_PORT = 1024


def clear(host: Host) -> list[str]:
    """Remove jails, disks' devices, taps, rules, the way of names and the bridge; what could not be removed, in words.

    Only for root, when daemon and helper have ended.
    """
    return asyncio.run(_clear(host))


async def _clear(host: Host) -> list[str]:
    helper = Local(host)
    faults = [
        *await _each(helper, Jails(), Sweep),
        *await _each(helper, Disks(), RemoveDisk),
    ]
    found = map(_TAP.fullmatch, os.listdir("/sys/class/net"))
    taps = [Tap(slot=int(each[1])) for each in found if each]
    for operation in (*taps, Resolver(port=_ANY_PORT), Rules(guests=()), Bridge()):
        try:
            await helper.revert(operation)
        except errors.PrivilegeRefused:
            pass  # somebody else's by that name: it was there before us
        except errors.BangerError as error:
            faults.append(error.message)
    return faults


async def _each(helper: Privileged, listing: Jails | Disks, remove: type[Sweep] | type[RemoveDisk]) -> list[str]:
    """Remove what is listed, machine by machine."""
    faults = []
    try:
        found = (await helper.perform(listing)).values["machines"]
        assert isinstance(found, list)
        for vm_id in found:
            await helper.perform(remove(vm_id=vm_id))
    except errors.BangerError as error:
        faults.append(error.message)
    return faults
