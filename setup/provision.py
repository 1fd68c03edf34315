"""Provision the suite and lend it to a command: see ``setup/provision --help``."""

import sys

# No __pycache__ in the work tree.
sys.dont_write_bytecode = True

from _lib.cli import call

if __name__ == "__main__":
    sys.exit(call("provision", sys.argv[1:]))
