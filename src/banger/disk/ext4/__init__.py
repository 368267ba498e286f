"""A writer of ext4 filesystems: file data in one pass, metadata after it, deterministic to the byte.

The data of files is written while it arrives, at its final place (`data.DataArea`); when the tree is known, `volume`
numbers the inodes, lays out directories, inode tables, bitmaps, journal and superblocks behind the data, and writes
them. flex_bg lets bitmaps and inode tables lie anywhere, so neither the size of the data nor the number of inodes has
to be known first. Nothing is read back, mounted or given to another program.

What is written is what Debian 12's mke2fs would choose (see `superblock`), and every group is marked as zeroed, so
that a guest never starts to initialise inode tables: holes of the sparse file read as zeros.

==============  ==================================================================================================
`node`          the tree that is written: inodes and directories in memory
`geometry`      groups, superblock backups, sizes
`data`          blocks handed out in order of arrival; `writer` brings their data to the disk
`extent`        extent trees
`directory`     linear directory blocks and the choice between them and an index
`htree`         hashed directory indexes
`xattr`         extended attributes in the inode and in blocks
`inode`         the 256 bytes of an inode
`journal`       the empty journal; `resize` the inode that lets the filesystem grow
`group`         bitmaps and group descriptors
`superblock`    the superblock and its copies
`checksum`      crc32c as ext4 counts it
`volume`        all of it in order
==============  ==================================================================================================
"""
