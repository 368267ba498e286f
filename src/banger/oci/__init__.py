"""Images from registries, directories and archives: fetched, merged in memory, written as one ext4 file.

=============  ==========================================================================================
`reference`    where an image comes from, as a validated value
`transport`    fetches it through skopeo into the shared blob cache; `manifest` reads its documents
`debian`       makes a root file system from Debian's archive instead
`builder`      builds the ext4 file in a process of its own, `child`, by way of `build`
`layer`        reads one layer: `blob` and `inflate` give its bytes, `tar` and `header` its entries, `entry` judges them
`index`        what is known of layers that were read before, and which image holds their data
`merge`        applies the entries of layers to the `tree`
`probe`        says what the result is: init, distribution, shell
=============  ==========================================================================================
"""
