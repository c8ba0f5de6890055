"""`python -m crewline_operator.simulate`."""

import sys

from crewline_operator.simulate.command import main

sys.exit(main(prog="crewline_operator.simulate"))
