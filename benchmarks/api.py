"""The service's API on one connection, in JSON, for requests that no benchmark measures."""

from __future__ import annotations

import http.client
import json
from typing import Any


class Api:
    """A keep-alive connection. It opens on the first request and opens again after it has ended."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        """Return the content of the answer. Raises RuntimeError if the answer is an error."""
        status, content = self.ask(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: status {status}: {content[:300].decode()}")
        return json.loads(content) if content else None

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Return status and body of the answer, of an error too."""
        data = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        """Close the socket. The next request opens another."""
        self._connection.close()
