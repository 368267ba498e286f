"""Kernels: from a distribution's package or a directory to what a monitor boots.

The mechanisms live here (`bzimage`, `package`, `modules`, `initrd`); `kernel` puts them together into a directory that
is complete or not there at all.
"""
