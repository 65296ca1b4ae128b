"""Structured logs: one JSON object a line on standard error. Item texts, request bodies and API keys are
never logged.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache

from service.security.keys import redact

# What every LogRecord has; all else came in through `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}

# ASCII only: whatever a path or an id held, a line stays a line and a terminal stays unharmed.
_encode = json.JSONEncoder(default=str).encode


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, the `extra` fields, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        out: dict[str, object] = {
            "time": f"{_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        out.update((name, value) for name, value in vars(record).items() if name not in _STANDARD)
        if record.exc_info:
            out["traceback"] = self.formatException(record.exc_info)
        return redact(_encode(out))


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def configure(level: str) -> None:
    """Send all logs of the process to standard error as JSON. Called by the command line, never at import."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    # Of each line's thread and process nothing is written, so nothing need be found out: the switches are those of the
    # logging manual's chapter on optimization.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
