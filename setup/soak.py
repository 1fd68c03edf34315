"""Put load on a server for long: see ``setup/soak --help``."""

import sys

# No __pycache__ in the work tree.
sys.dont_write_bytecode = True

from _lib.cli import call

if __name__ == "__main__":
    sys.exit(call("soak", sys.argv[1:]))
