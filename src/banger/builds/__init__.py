"""Building images by recipes: packages, then files, then commands.

`service` is the public surface. `recipe` judges what is asked for and names it by a digest; `plans` has the change and
the order of its tasks. On a Debian suite mmdebstrap does all of it without root (`suite`); on a base image a machine
does (`guest`), whose disk becomes the image (`disk`). `distribution` knows the package tools, `shell` the few scripts,
`payload` the archive of files, `transcript` what commands said.
"""
