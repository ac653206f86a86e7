"""`python -m jmeta`, the same as `jmeta`."""

import sys

from jmeta.cli import main

sys.exit(main())
