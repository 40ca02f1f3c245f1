"""HTTP Digest (RFC 7616, MD5-sess, qop=auth) and Basic, from the server's side, with an empty user name."""

import base64
import hashlib
import secrets
from urllib.request import parse_http_list, parse_keqv_list

REALM = "whatwatt"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class DigestAuth:
    """Digest on the server's side. A nonce is valid for a number of requests with rising counts."""

    def __init__(self, password: str, *, uses_per_nonce: int | None = None) -> None:
        self.password = password
        self.uses_per_nonce = uses_per_nonce
        self._opaque = secrets.token_hex(8)
        self._last_counts: dict[str, int] = {}
        self._uses: dict[str, int] = {}

    def delete_nonces(self) -> None:
        """Delete all nonces, as at a reboot."""
        self._last_counts.clear()
        self._uses.clear()

    def challenge(self, *, stale: bool = False) -> str:
        """Return a challenge with a new nonce."""
        nonce = secrets.token_hex(16)
        self._last_counts[nonce] = self._uses[nonce] = 0
        return (
            f'Digest realm="{REALM}", qop="auth", algorithm=MD5-sess, nonce="{nonce}", '
            f'opaque="{self._opaque}"{", stale=true" if stale else ""}'
        )

    def check(self, authorization: str | None, method: str, target: str) -> str | None:
        """Return the challenge for wrong credentials, or None for right ones."""
        scheme, _, parameters = (authorization or "").partition(" ")
        if scheme != "Digest":
            return self.challenge()
        sent = parse_keqv_list(parse_http_list(parameters))
        nonce, cnonce, nc = sent["nonce"], sent["cnonce"], sent["nc"]
        session = _md5(f"{_md5(f'{sent["username"]}:{REALM}:{self.password}')}:{nonce}:{cnonce}")
        expected = _md5(f"{session}:{nonce}:{nc}:{cnonce}:auth:{_md5(f'{method}:{target}')}")
        if (
            sent["username"] != ""
            or sent["uri"] != target
            or sent["opaque"] != self._opaque
            or sent["response"] != expected
        ):
            return self.challenge()
        worn_out = self.uses_per_nonce is not None and self._uses.get(nonce, 0) >= self.uses_per_nonce
        if nonce not in self._last_counts or worn_out or int(nc, 16) <= self._last_counts[nonce]:
            return self.challenge(stale=True)
        self._last_counts[nonce] = int(nc, 16)
        self._uses[nonce] += 1
        return None


class BasicAuth:
    """Basic on the server's side, as in firmware before 1.10."""

    def __init__(self, password: str) -> None:
        self.password = password

    def check(self, authorization: str | None, _method: str, _target: str) -> str | None:
        """Return the challenge for wrong credentials, or None for right ones."""
        expected = f"Basic {base64.b64encode(f':{self.password}'.encode()).decode()}"
        return None if authorization == expected else f'Basic realm="{REALM}"'
