"""The old spelling of `python -m service backup`."""

import sys

from service.__main__ import main

if __name__ == "__main__":
    print("python -m service.backup is now spelled: python -m service backup", file=sys.stderr)
    sys.exit(main(["backup", *sys.argv[1:]]))
