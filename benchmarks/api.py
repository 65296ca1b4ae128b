"""The service's API on one connection, for what is asked besides a measurement: JSON in and out."""

from __future__ import annotations

import http.client
import json
from typing import Any


class Api:
    """A keep-alive connection, opened when it is needed and opened again once it has ended."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's content; raises RuntimeError for an answer that is an error."""
        status, content = self.ask(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: status {status}: {content[:300].decode()}")
        return json.loads(content) if content else None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of the answer, whatever it is."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """Let go of the socket; another request opens one again."""
        self._connection.close()
