"""`python -m jmeta`, the same as `jmeta`."""

import os
import sys

# Python puts the working directory first on the path of imports: nothing that lies there is to be imported by its name.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]

from jmeta.cli import main

sys.exit(main())
