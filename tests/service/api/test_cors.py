"""CORS: nothing unless origins are set, then those origins alone."""

from __future__ import annotations

from pathlib import Path

from service.security import keys
from tests.support.service import make_settings, serving


def test_it_is_off_unless_set(root: Path, tmp_path: Path) -> None:
    origin = {"Origin": "https://shop.example"}
    with serving(make_settings(root, tmp_path)) as client:
        headers = client("GET", "/livez", headers=origin).headers
        assert not [name for name in headers if name.startswith("access-control")]
        preflight = origin | {"Access-Control-Request-Method": "POST"}
        assert client("OPTIONS", "/recommend", headers=preflight).status == 405


def test_it_lets_named_origins_in_and_no_other(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    token = keys.create(file, "", "read")
    settings = make_settings(root, tmp_path, keys=file, cors_origins="https://shop.example")
    ours, other = {"Origin": "https://shop.example"}, {"Origin": "https://evil.example"}
    wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    with serving(settings) as client:
        reply = client("OPTIONS", "/recommend", headers=ours | wish)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        assert "Authorization" in reply.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in reply.headers
        assert client("OPTIONS", "/recommend", headers=other | wish).status == 400
        body: dict[str, list[str]] = {"history": []}
        reply = client("POST", "/recommend", body, ours | {"Authorization": f"Bearer {token}"})
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        # A page can read why it was refused.
        reply = client("POST", "/recommend", body, ours)
        assert (reply.status, reply.headers["access-control-allow-origin"]) == (401, "https://shop.example")
        reply = client("POST", "/recommend", body, other | {"Authorization": f"Bearer {token}"})
        assert "access-control-allow-origin" not in reply.headers
