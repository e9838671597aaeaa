"""`python -m fuzz`; see `campaign.main`."""

import sys

import tyro

from fuzz.campaign import main

sys.exit(tyro.cli(main))
