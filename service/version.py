"""The version of this package, for the service and its client."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The installed package's version; "0+source" in a source tree that is not installed."""
    try:
        return version("kindred")
    except PackageNotFoundError:
        return "0+source"
