"""What the helper has made of the host's network, taken away."""

from banger.privileged.installation import Host


def clear(host: Host) -> None:
    """Remove the bridge, the taps and the rules."""
