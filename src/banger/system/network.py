"""What the helper has made of the host's network, taken away."""

import asyncio

from banger import errors
from banger.privileged.installation import Host
from banger.privileged.operations import Bridge, Resolver, Rules, Tap, taps
from banger.privileged.runner import Local


def clear(host: Host) -> None:
    """Remove names' routing, the rules with the host's forwarding, the taps and the bridge, each as far as it is ours.

    Something of somebody else's that has the bridge's name is none of ours to remove. Raises the first of what
    operations raise, when everything was tried.
    """
    asyncio.run(_clear(Local(host)))


async def _clear(root: Local) -> None:
    failed: list[errors.BangerError] = []
    made = (Resolver(port=1024), Rules(guests=()), *(Tap(name=name, slot=0) for name in taps()), Bridge())
    for operation in made:
        try:
            await root.revert(operation)
        except errors.PrivilegeRefused:
            continue
        except errors.BangerError as error:
            failed.append(error)
    if failed:
        raise failed[0]
