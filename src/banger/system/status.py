"""``banger system status``: whether there is an installation, whose, and whether its parts answer. Anybody may ask."""

import os
from typing import NamedTuple

import banger
from banger import errors
from banger.system import record, services, units
from banger.system.services import DAEMON_SOCKET, Unit


class Status(NamedTuple):
    """What was found. ``faults`` says what is not as it should be, by part."""

    installed: record.Record | None
    version: str
    """Of the banger that looks."""
    units: list[Unit]
    faults: dict[str, str]


def look() -> Status:
    """Look, and change nothing. Raises `errors.InstallRefused` for a record that cannot be used."""
    found = record.read()
    version = str(banger.__version__)
    if found is None:
        return Status(None, version, [], {})
    seen = [services.look(name) for name in (units.DAEMON_SERVICE, units.HELPER_SERVICE, units.MACHINES)]
    faults = {each.name: f"it is {each.active}" for each in seen if each.active != "active"}
    if os.geteuid() in (0, found.owner_uid):
        answers = {
            units.DAEMON_SERVICE: services.daemon_answers(DAEMON_SOCKET),
            units.HELPER_SERVICE: services.helper_answers(found),
        }
        faults |= {name: reason for name, reason in answers.items() if reason}
    return Status(found, version, seen, faults)


def require(found: Status) -> record.Record:
    """The installation. Raises `errors.InstallRefused` where there is none."""
    if found.installed is None:
        error = errors.InstallRefused(reason="banger is not installed as a service of this host")
        error.advise("'sudo banger system install --owner USER' installs it")
        raise error
    return found.installed
