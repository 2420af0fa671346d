"""The one file that listens: it shows a page to whoever has its address, from this machine alone.

Others have accounts on a login node, too. So the address has a token, and whatever else is asked for gets nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sweep.clock import SYSTEM, Clock
from sweep.errors import UsageError

HOST = "127.0.0.1"

#: A browser reaches it by these names, through ssh too. Any other is that of a site which leads a browser here.
NAMES = ("127.0.0.1", "localhost")

#: The page's own scripts are in the page; plotly compiles what it draws by WebGL. It asks for its news alone.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "font-src data:",
        "connect-src 'self'",
        "worker-src blob:",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", _POLICY),
    ("Referrer-Policy", "no-referrer"),  # the address has the token
    ("X-Content-Type-Options", "nosniff"),
]


@dataclass
class Exhibit:
    """What is shown now, and when it was last asked for.

    Attributes
    ----------
    token : str
        What the address has and nobody guesses.
    page, news : bytes
        The whole page, and what of it changes.
    asked_at_s : float
        By the clock's `elapsed_s`.
    """

    clock: Clock = SYSTEM
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    page: bytes = b""
    news: bytes = b""
    asked_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.asked_at_s = self.clock.elapsed_s()

    @property
    def unread_s(self) -> float:
        """For how long nobody has asked."""
        return self.clock.elapsed_s() - self.asked_at_s

    def show(self, page: str, news: str) -> None:
        """Show this from now on."""
        self.page, self.news = page.encode(), news.encode()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Sequence[bytes]:
        """Answer a request, as WSGI has it (PEP 3333)."""
        body = self._asked_for(environ)
        if body is None:
            start_response("404 Not Found", [("Content-Length", "0"), *_HEADERS])
            return [b""]
        self.asked_at_s = self.clock.elapsed_s()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if environ.get("HTTP_IF_NONE_MATCH") == tag:
            start_response("304 Not Modified", [("ETag", tag), *_HEADERS])
            return [b""]
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body))), ("ETag", tag)]
        start_response("200 OK", [*headers, *_HEADERS])
        return [body if environ["REQUEST_METHOD"] == "GET" else b""]

    def _asked_for(self, environ: dict[str, Any]) -> bytes | None:
        """Return what is at the address, to a reader who has it whole."""
        name = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
        if name not in NAMES or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return None
        path = environ.get("PATH_INFO", "").encode("latin-1", "replace")
        asked_for = None
        for own, body in ((f"/{self.token}/", self.page), (f"/{self.token}/news", self.news)):
            if hmac.compare_digest(own.encode(), path):  # it takes as long for any path: no token is told by that
                asked_for = body
        return asked_for


@contextmanager
def listening(exhibit: Exhibit, port: int) -> Iterator[int]:
    """Show an exhibit on a port of this machine, within the block; 0 is any that is free. Yields the port.

    Raises
    ------
    UsageError
        Someone else has the port, or it may not be had.
    """
    from waitress import create_server

    try:
        server = create_server(
            exhibit, host=HOST, port=port, threads=4, ident=None, clear_untrusted_proxy_headers=True
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"port {port} cannot be had: {reason}", "leave --port out: any that is free is taken"
        ) from None
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.close()
        thread.join(5.0)
