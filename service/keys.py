"""The old spelling of `python -m service keys`."""

import sys

from service.__main__ import main

if __name__ == "__main__":
    print("python -m service.keys is now spelled: python -m service keys", file=sys.stderr)
    sys.exit(main(["keys", *sys.argv[1:]]))
