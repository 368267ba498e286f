"""Rows about banger itself: what it runs on, its guest agent, its store, and what machines were promised."""

import os
import platform

import banger
from banger import errors, proc
from banger.admission.judgement import Facts, Limits, reserve
from banger.config.sizes import format_size
from banger.daemon.checks import Found
from banger.paths import Paths
from banger.ssh import including
from banger.store.database import Database
from banger.system.record import Record

ELF = b"\x7fELF\x02"


def architecture(machine: str = "") -> Found:
    """Guests have the host's own architecture."""
    found = machine or platform.machine()
    if found != "x86_64":
        return "fail", f"this host is {found}: machines run on x86_64 only", "use a host with x86_64"
    return "pass", found, ""


def version(record: Record | None) -> Found:
    """The daemon is the one that was installed."""
    own = str(banger.__version__)
    if record is not None and record.version != own:
        return "warn", f"the daemon is {own}, and {record.version} is installed", "sudo banger system restart"
    return "pass", own, ""


def guest_agent(path: str) -> Found:
    """The program that goes into every machine is there."""
    mend = "install banger again; in a checkout, run python guest-agent/build.py"
    try:
        with open(path, "rb") as file:
            head = file.read(len(ELF))
    except OSError as error:
        return "fail", f"the guest agent {path} cannot be read: {error.strerror}", mend
    if head != ELF:
        return "fail", f"the guest agent {path} is no program", mend
    return "pass", f"{path} ({format_size(os.path.getsize(path))})", ""


def ssh(paths: Paths) -> Found:
    """The host's ssh is there, and reaches machines."""
    try:
        for tool in ("ssh", "ssh-keygen"):
            proc.find(tool)
    except errors.ToolMissing as missing:
        return "warn", f"'banger ssh' does not work, and machines get no host keys: {missing.message}", missing.advice
    if not including.included(paths):
        return "warn", "'banger ssh' works; plain ssh and scp do not know NAME.vm", "banger ssh-config --install"
    return "pass", "ssh and scp reach machines as NAME.vm", ""


def store(path: str) -> Found:
    """The records can be read. A store that is not there yet is fine."""
    if not os.path.exists(path):
        return "pass", "there is nothing on record yet", ""
    try:
        database = Database(path, read_only=True)
        try:
            (verdict,) = database.rows("PRAGMA quick_check(1)")[0]
            schema = database.version
        finally:
            database.close()
    except errors.BangerError as error:
        return "fail", error.message, error.advice
    if verdict != "ok":
        return "fail", f"{path} is damaged: {verdict}", errors.StoreUnreadable.hint
    return "pass", f"{path} (schema {schema})", ""


def promises(facts: Facts, limits: Limits) -> Found:
    """What machines may come to take, against what there is: one row for memory, disk and number.

    That their disks may grow beyond what is free is said, and no warning: sparse disks are made large to be forgotten.
    """
    count = sum(1 for each in facts.machines if each.name)
    memory = sum(each.memory for each in facts.machines if each.running)
    left = sum(each.left() for each in facts.machines)
    parts = [f"{count} machine{'' if count == 1 else 's'}" + (f" of {limits.machines}" if limits.machines else "")]
    parts.append(f"those that run may use {format_size(memory)} of memory")
    if facts.available is not None:
        parts[-1] += f", {format_size(facts.available)} are available"
    parts.append(f"all may still write {format_size(left)}, {format_size(max(0, facts.free))} are free")
    detail = "; ".join(parts)
    kept = reserve(facts.size, limits)
    if kept > facts.free:
        detail = f"{detail}, of which {format_size(kept)} are kept in reserve: nothing new can be made"
        return "warn", detail, "free some space ('banger df' shows what takes it), or lower disk_reserve in config.toml"
    if facts.memory is not None and memory > facts.memory:
        detail = f"{detail}; the host has {format_size(facts.memory)} of memory in all"
        return "warn", detail, "stop machines that are not needed, before all use what they may"
    return "pass", detail, ""
