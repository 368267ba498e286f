"""The operations that other rooms ask for, under one roof: none of them imports the helper."""

from banger.helper.ping import Ping as Ping
