"""Kernels: from a distribution's package or a directory to what a monitor boots.

The mechanisms (`bzimage`, `package`, `modules`, `initrd`) are put together by `kernel` into a directory that is
complete or not there at all. `service` is the public surface: which kernels there are, and the changes that bring,
replace and remove one (`making`).
"""
