"""`python -m aimco`."""

import sys

from aimco.cli import main

sys.exit(main())
