"""`python -m lrpkeras`: the command line, where no script is on the path."""

import sys

from lrpkeras.cli import main

sys.exit(main())
