"""The old spelling of `python -m service migrate`."""

import sys

from service.__main__ import main

if __name__ == "__main__":
    print("python -m service.migrate is now spelled: python -m service migrate", file=sys.stderr)
    sys.exit(main(["migrate", *sys.argv[1:]]))
