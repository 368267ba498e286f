"""``python -m banger.cli``: the same as the command."""

import sys

from banger.cli.main import main

sys.exit(main())
