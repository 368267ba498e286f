"""How a machine ended, from consoles as Firecracker 1.12.1 and its guests write them."""

from pathlib import Path

import pytest

from banger.vmm.firecracker import ending

STAMP = b"2026-11-22T08:48:35.635760257 [0123456789abcdef:main] "
BEGIN = STAMP + b"Running Firecracker v1.12.1\n" + STAMP + b'Listening on API socket ("/run/api.sock").\n'
STOPPING = STAMP + b"Vmm is stopping.\n"
GOOD_END = STOPPING + STAMP + b"Firecracker exiting successfully. exit_code=0\n"
BAD_END = (
    STAMP + b"Received KVM_EXIT_INTERNAL_ERROR signal\n" + STOPPING
    + STAMP + b"RunWithApiError error: MicroVM stopped with an error: GenericError\n"
    + STAMP + b"Firecracker exiting with error. exit_code=1\n"
)  # fmt: skip
HALTED = b"[    5.123456] reboot: System halted\r\n"
PANIC = b"[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n"


def classified(directory: Path, console: bytes, killed_for_memory: bool = False) -> tuple[str, str]:
    path = directory / "console.log"
    path.write_bytes(console)
    end = ending.classify(str(path), killed_for_memory)
    return end.reason, end.detail


@pytest.mark.parametrize(
    ("console", "reason", "detail"),
    [
        (BEGIN + b"hello\r\n" + GOOD_END, "powered off", ""),
        (BEGIN + b"hello\r\n" + HALTED, "powered off", ""),
        (BEGIN + b"reboot: Power down\r\n", "powered off", ""),
        (BEGIN + b"hello\r\n" + STOPPING, "powered off", ""),
        (BEGIN + PANIC + GOOD_END, "panic", "Attempted to kill init! exitcode=0x00000100"),
        (BEGIN + b"hello\r\n" + BAD_END, "failed", "Received KVM_EXIT_INTERNAL_ERROR signal"),
        (BEGIN + b"hello\r\n", "killed", ""),
        (BEGIN, "killed", ""),
        (b"", "killed", ""),
    ],
)
def test_the_end_is_read_from_the_console(console: bytes, reason: str, detail: str, tmp_path: Path) -> None:
    assert classified(tmp_path, console) == (reason, detail)


@pytest.mark.parametrize("earlier", [GOOD_END, PANIC + GOOD_END, BAD_END, HALTED])
def test_an_earlier_run_does_not_count(earlier: bytes, tmp_path: Path) -> None:
    assert classified(tmp_path, BEGIN + earlier + BEGIN + b"hello\r\n") == ("killed", "")


def test_firecrackers_lines_are_told_from_the_guests_even_within_a_word(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(BEGIN + b"o" + STAMP + b"The request was executed successfully.\nk\n" + GOOD_END)
    assert ending.of_guest(str(path)) == b"ok\n"


def test_the_kernels_count_wins_over_what_the_guest_says(tmp_path: Path) -> None:
    assert classified(tmp_path, BEGIN + GOOD_END, killed_for_memory=True)[0] == "out of memory"


def test_a_console_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert ending.classify(str(tmp_path / "none"), False).reason == "killed"


@pytest.mark.parametrize(
    ("console", "over"),
    [
        (BEGIN + HALTED, True),
        (BEGIN + STOPPING, True),
        (BEGIN, False),
        (BEGIN + b"$ echo Vmm is stopping.\r\n", False),
        (BEGIN + HALTED + b"hello again\r\n", False),
    ],
)
def test_a_process_may_go_on_after_its_machine(console: bytes, over: bool, tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(console)
    assert ending.over(str(path)) is over


def test_a_run_that_is_over_is_not_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(BEGIN + STOPPING + BEGIN)
    assert not ending.over(str(path))


def test_what_is_shown_can_be_printed(tmp_path: Path) -> None:
    line = STAMP + b"\x1b[2Jbad\n" + STAMP + b"Firecracker exiting with error. exit_code=1\n"
    assert classified(tmp_path, BEGIN + line)[1].isprintable()
