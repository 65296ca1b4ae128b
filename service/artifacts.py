"""The old spelling of `python -m service artifacts`."""

import sys

from service.__main__ import main

if __name__ == "__main__":
    print("python -m service.artifacts is now spelled: python -m service artifacts", file=sys.stderr)
    sys.exit(main(["artifacts", *sys.argv[1:]]))
