"""The smallest guest that still does what every kernel does: a 204-byte program in an ELF file with a PVH note.

It enters long mode with paging, takes an exception through its own descriptor table, returns, and ends its monitor:
QEMU by writing to the debug-exit port; another one, which has no such port, by saying `SAID` on the serial port and
resetting the machine through the keyboard controller. A /dev/kvm that can be opened proves little: some run 32-bit code
by interpreting it and hang in the first 64-bit kernel. This guest tells the difference within milliseconds.
"""

import struct

EXIT_PORT = 0xF4
EXIT_STATUS = 43
"""What QEMU ends with: isa-debug-exit makes (value << 1) | 1 of the value written, 0x15."""

SAID = b"ok"

_LOAD = 0x100000

_CODE = bytes.fromhex(
    "fa"                                             # cli                      32-bit, as PVH enters
    "c70500201000" "03301000"                        # movl $0x103003, 0x102000 PML4[0] -> PDPT
    "c70500301000" "03401000"                        # movl $0x104003, 0x103000 PDPT[0] -> PD
    "c70500401000" "83000000"                        # movl $0x83, 0x104000     PD[0]: 2 MiB, identity
    "b800201000" "0f22d8"                            # mov $0x102000, %eax; mov %eax, %cr3
    "0f20e0" "83c820" "0f22e0"                       # cr4 |= PAE
    "b9800000c0" "0f32" "0d00010000" "0f30"          # EFER |= LME
    "0f20c0" "0d00000080" "0f22c0"                   # cr0 |= PG
    "0f0115a8001000"                                 # lgdt 0x1000a8
    "ea57001000" "0800"                              # ljmp $8, $0x100057
    "31c0" "8ed8" "8ec0" "8ed0" "bc00601000"         # 64-bit: null data segments, a stack
    "b895001000" "89042530501000"                    # gate 3 (breakpoint) of the table at 0x105000:
    "66c70425325010000800"                           #   offset 0x100095, selector 8,
    "c7042534501000" "008e1000"                      #   64-bit interrupt gate, offset's upper half
    "0f011c25ae001000"                               # lidt 0x1000ae
    "cc"                                             # int3
    "b015" "e6f4"                                    # mov $0x15, %al; out %al, $0xf4
    "eb24" "90"                                      # jmp 0x1000b8
    "48cf"                                           # 0x100095: iretq
    "90"                                             # 0x100098: the descriptors: null, 64-bit code
    "0000000000000000" "00000000009a2000"
    "0f00" "98001000"                                # 0x1000a8: limit and base of the descriptors
    "3f00" "0050100000000000"                        # 0x1000ae: limit and base of the gates
    "66baf803"                                       # 0x1000b8: mov $0x3f8, %dx
    "b06fee" "b06bee" "b00aee"                       # "ok\n", each mov $c, %al; out %al, %dx
    "b0fe" "e664"                                    # mov $0xfe, %al; out %al, $0x64
    "f4" "ebfd"                                      # hlt; jmp .-1
)  # fmt: skip


def elf() -> bytes:
    """The ELF file: one segment for code and scratch memory, one note that says where to enter."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", _LOAD)  # XEN_ELFNOTE_PHYS32_ENTRY
    notes_at, code_at = 64 + 2 * 56, 0x1000
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _LOAD, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, code_at, _LOAD, _LOAD, len(_CODE), 0x6000, 0x1000)
    notes = struct.pack("<IIQQQQQQ", 4, 4, notes_at, 0, 0, len(note), len(note), 4)
    return (header + load + notes + note).ljust(code_at, b"\0") + _CODE
