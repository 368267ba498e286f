"""The install record as the helper reads it, for the rooms that write it and look at it."""

from banger.helper.host import RECORD as RECORD
from banger.helper.host import BadRecord as BadRecord
from banger.helper.host import Host as Host
from banger.helper.host import load as load
