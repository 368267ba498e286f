"""Kernels: from a distribution's package or a directory to what a monitor boots.

The mechanisms live here (`bzimage`, `package`, `modules`, `initrd`); `kernel` puts them together into a directory that
is complete or not there at all. `service` is the public
surface: which kernels there are, and the changes that bring, replace and remove one (`making`).
"""
