"""Bundles: an image or a kernel as one compressed archive, made once and fetched by its digest.

=============  ==========================================================================================
`manifest`     what a bundle says of itself
`pack`         writes one: the same content gives the same bytes
`unpack`       reads one as it arrives, and refuses whatever is not in the format
`download`     the bytes, from a web server or a file, resumed where the connection broke
`receive`      all of this in a process of its own, `child`: hostile input ends that process alone
=============  ==========================================================================================

A bundle is a tar archive in one zstd frame. An image's holds exactly ``manifest.json`` and ``rootfs.ext4``; a
kernel's ``manifest.json``, ``vmlinux`` or ``bzImage``, and, where it has any, the tree ``modules/`` and ``initrd.img``.
The sha256 of the compressed file names it: nothing of a bundle is used before that was found to be right.
"""
