"""`python -m trimtab` is the `trimtab` command."""

import os
import sys

if sys.path[:1] == [os.getcwd()]:  # where Python puts it for -m
    del sys.path[0]

from trimtab.cli.main import main

if __name__ == "__main__":
    main()
