"""One repository of a registry, over HTTP: asks for content, sends it, and says who we are when asked.

Source: OCI distribution specification; distribution's docs/spec/auth (token, oauth); RFC 9110.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from tepui.agent.containers.images.challenges import Challenge, challenges_of
from tepui.agent.containers.images.credentials import Credential
from tepui.agent.containers.images.digests import digest_of, is_digest
from tepui.agent.containers.images.errors import Fault
from tepui.agent.containers.images.manifest import ACCEPTED, MANIFEST_BYTES_MAX
from tepui.agent.containers.images.settings import ImageSettings

REDIRECTS_MAX: Final = 10  # of one request
ANSWER_BYTES_MAX: Final = 64 * 1024  # of a token, or of what a registry complains
COMPLAINT_LENGTH_MAX: Final = 500
TOKENS_MAX: Final = 2  # fetched for one request: a registry that takes neither is not asked again
RETRY_AFTER_S_MAX: Final = 30
CONNECTIONS_MAX: Final = 64  # to all registries together

Body = Callable[[], AsyncIterator[bytes]]


class Endpoint(Struct, frozen=True):
    """Where a registry is served."""

    host: str  # with a port if one was named: what credentials and certificates go by
    schemes: tuple[str, ...]  # tried in this order
    path: str = ""  # before '/v2/'; of mirrors
    is_trusted: bool = False  # its certificate is not verified, and it may send us to plain HTTP

    def url(self, scheme: str) -> str:
        return f"{scheme}://{self.host}{self.path}"


def endpoint_of(host: str, insecure: tuple[str, ...]) -> Endpoint:
    """Return where the registry of that name is: TLS, unless it is here or listed."""
    if is_loopback(host) or host in insecure or host.rpartition(":")[0] in insecure:
        return Endpoint(host, ("https", "http"), is_trusted=True)
    return Endpoint(host, ("https",))


def endpoint_at(url: str, insecure: tuple[str, ...]) -> Endpoint:
    """Return the endpoint that an operator named by its URL. Raises Fault."""
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Fault("reading the settings", f"'{url}' is not the URL of a registry")
    trusted = parts.scheme == "http" or endpoint_of(parts.netloc, insecure).is_trusted
    return Endpoint(parts.netloc, (parts.scheme,), parts.path.rstrip("/"), trusted)


def is_loopback(host: str) -> bool:
    """Whether the registry is on this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class Http:
    """Connections to registries, shared by all pulls."""

    def __init__(self, settings: ImageSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._schemes: dict[str, str] = {}  # by host: the one that it answered to
        self._contexts: dict[tuple[str, bool], ssl.SSLContext] = {}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
    ) -> aiohttp.ClientResponse:
        """Return one answer, whatever it is. Raises Fault where there is none."""
        host = urlsplit(url).netloc
        try:
            return await self._opened().request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body() if callable(body) else body,
                allow_redirects=False,
                ssl=await self._context(host, endpoint) if url.startswith("https:") else True,
                proxy=_proxy(url),
            )
        except aiohttp.ConnectionTimeoutError:
            seconds = self._settings.connect_ms / 1000
            raise _passing(f"no connection to '{host}' within {seconds:g} s") from None
        except TimeoutError:  # before ClientError, which aiohttp's are too
            raise _passing(f"'{host}' sent nothing for {self.stall_s:g} s") from None
        except aiohttp.ClientConnectorCertificateError as error:
            # Another attempt would find the same certificate.
            cause = error.certificate_error
            raise Fault(
                "connecting", f"the certificate of '{host}' is not trusted: {cause}"
            ) from None
        except ValueError as error:  # aiohttp's and yarl's, for what is no URL
            raise Fault("connecting", f"'{url}' is not a URL: {error}") from None
        except aiohttp.ClientConnectorError as error:
            # aiohttp's own text has the host again, and the address of an object.
            why = error.os_error.strerror or error.os_error
            raise _passing(f"cannot connect to '{host}': {why}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _passing(f"'{host}': {str(error) or type(error).__name__}") from None

    @property
    def stall_s(self) -> float:
        return self._settings.stall_ms / 1000

    async def scheme(self, endpoint: Endpoint) -> str:
        """Return how the endpoint is reached: the first scheme that it answers to. Raises Fault."""
        if len(endpoint.schemes) == 1:
            return endpoint.schemes[0]
        if scheme := self._schemes.get(endpoint.host):
            return scheme
        fault: Fault | None = None
        for scheme in endpoint.schemes:
            try:
                async with await self.request("GET", f"{endpoint.url(scheme)}/v2/", endpoint, {}):
                    self._schemes[endpoint.host] = scheme
                    return scheme
            except Fault as failed:
                fault = failed
        assert fault is not None
        raise fault

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                auto_decompress=False,  # digests are of what was sent
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=self._settings.connect_ms / 1000,
                    sock_read=self.stall_s,
                ),
                headers={"User-Agent": "tepui"},
            )
        return self._session

    async def _context(self, host: str, endpoint: Endpoint) -> ssl.SSLContext:
        """Return how TLS is done with the host: its directory may have certificates of its own."""
        key = (host, endpoint.is_trusted and host == endpoint.host)
        if key not in self._contexts:
            directory = Path(self._settings.certificates) / host
            self._contexts[key] = await asyncio.to_thread(_make_context, directory, not key[1])
        return self._contexts[key]


def _make_context(directory: Path, is_verified: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        for path in sorted(directory.glob("*.crt")):
            context.load_verify_locations(path)
        for path in sorted(directory.glob("*.cert")):
            context.load_cert_chain(path, path.with_suffix(".key"))
    except OSError as error:  # of ssl, too
        raise Fault("reading certificates", f"in '{directory}': {error}") from None
    return context


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc) or is_loopback(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _passing(rule: str) -> Fault:
    return Fault("connecting", rule, passing=True)


class Registry:
    """One repository at one endpoint, for one who pulls or pushes: tokens live as long as this."""

    def __init__(
        self,
        http: Http,
        endpoint: Endpoint,
        repository: str,
        credential: Credential | None,
        actions: str = "pull",
    ) -> None:
        self.endpoint = endpoint
        self.repository = repository
        self._http = http
        self._credential = credential
        self._scope = f"repository:{repository}:{actions}"
        self._authorization = ""
        self._asking = asyncio.Lock()  # one token for all the layers that come at once

    @property
    def host(self) -> str:
        return self.endpoint.host

    async def manifest(self, wanted: str) -> tuple[bytes, str]:
        """Return the manifest of a tag or digest, verified if it was a digest, and its own digest."""
        step = f"fetching the manifest from '{self.host}'"
        headers = {"Accept": ", ".join(ACCEPTED)}
        async with self.answer("GET", f"manifests/{wanted}", step, headers=headers) as answer:
            self._check(answer.status, {200}, await _complaint(answer), answer, step)
            content = await self._read(answer, MANIFEST_BYTES_MAX, step)
        digest = digest_of(content, wanted if is_digest(wanted) else "sha256:")
        if is_digest(wanted) and digest != wanted:
            raise Fault(step, f"what was sent for '{wanted}' has the digest '{digest}'")
        return content, digest

    @contextlib.asynccontextmanager
    async def blob(
        self, digest: str, offset: int
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Give where the content that comes begins (`offset`, or 0), and the content."""
        step = f"fetching '{_short(digest)}' from '{self.host}'"
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self.answer("GET", f"blobs/{digest}", step, headers=headers) as answer:
            if answer.status == 416:
                raise RangeRefused(step, "the rest of it cannot be had")
            self._check(answer.status, {200, 206}, await _complaint(answer), answer, step)
            begin = 0
            if answer.status == 206:
                begin = _begin_of(answer.headers.get("Content-Range", ""))
                if begin != offset:
                    raise RangeRefused(step, f"byte {begin} was sent for byte {offset}")
            yield begin, self._chunks(answer, step)

    async def _chunks(self, answer: aiohttp.ClientResponse, step: str) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except TimeoutError:
            rule = f"no byte came for {self._http.stall_s:g} s"
            raise Fault(step, rule, passing=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(step, str(error) or type(error).__name__, passing=True) from None

    async def _read(self, answer: aiohttp.ClientResponse, bytes_max: int, step: str) -> bytes:
        content = bytearray()
        async for chunk in self._chunks(answer, step):
            content += chunk
            if len(content) > bytes_max:
                raise Fault(step, f"it is longer than {bytes_max} bytes")
        return bytes(content)

    async def has_blob(self, digest: str) -> bool:
        """Whether the repository has the content."""
        step = f"asking '{self.host}' for '{_short(digest)}'"
        async with self.answer("HEAD", f"blobs/{digest}", step) as answer:
            self._check(answer.status, {200, 404}, "", answer, step)
            return answer.status == 200

    async def upload(self, digest: str, size_bytes: int, body: Body) -> None:
        """The repository has the content. Raises Fault."""
        step = f"sending '{_short(digest)}' to '{self.host}'"
        async with self.answer("POST", "blobs/uploads/", step) as answer:
            self._check(answer.status, {202}, await _complaint(answer), answer, step)
            location = answer.headers.get("Location", "")
            place = urljoin(str(answer.url), location)
        if not location:
            raise Fault(step, "the registry does not say where to")
        place += ("&" if urlsplit(place).query else "?") + urlencode({"digest": digest})
        headers = {
            "Content-Length": str(size_bytes),
            "Content-Type": "application/octet-stream",
        }
        async with self.answer("PUT", place, step, headers=headers, body=body) as answer:
            self._check(answer.status, {201, 204}, await _complaint(answer), answer, step)

    async def put_manifest(self, name: str, content: bytes, media_type: str) -> None:
        """The repository has the manifest under that tag or digest. Raises Fault."""
        step = f"sending the manifest to '{self.host}'"
        headers = {"Content-Type": media_type}
        async with self.answer(
            "PUT", f"manifests/{name}", step, headers=headers, body=content
        ) as answer:
            self._check(answer.status, {200, 201}, await _complaint(answer), answer, step)

    @contextlib.asynccontextmanager
    async def answer(
        self,
        method: str,
        path: str,
        step: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Give the answer, after redirects and after saying who we are."""
        try:
            answer = await self._ask(method, path, headers or {}, body)
        except Fault as fault:
            if fault.step == "connecting":
                raise Fault(step, fault.rule, passing=fault.passing) from None
            raise
        try:
            yield answer
        finally:
            answer.close()

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str], body: Body | bytes | None
    ) -> aiohttp.ClientResponse:
        base = self.endpoint.url(await self._http.scheme(self.endpoint))
        url = urljoin(f"{base}/v2/{self.repository}/", path)
        redirects = tokens = 0
        while True:
            sent = dict(headers)
            is_ours = _origin(url) == _origin(base)
            authorization = self._authorization
            if is_ours and authorization:  # nobody else gets to see it
                sent["Authorization"] = authorization
            answer = await self._http.request(method, url, self.endpoint, sent, body)
            location = answer.headers.get("Location", "")
            if (
                answer.status in (301, 302, 303, 307, 308)
                and location
                and method in ("GET", "HEAD")
            ):
                answer.close()
                redirects += 1
                if redirects > REDIRECTS_MAX:
                    raise Fault("following redirects", f"there are more than {REDIRECTS_MAX}")
                url = self._next(url, location)
                continue
            if answer.status == 401 and is_ours and tokens < TOKENS_MAX:
                challenges = challenges_of(answer.headers.getall("WWW-Authenticate", []))
                async with self._asking:
                    is_other = authorization != self._authorization  # somebody else's layer asked
                    tokens += not is_other
                    if not is_other and not await self._closing(
                        answer, self._authorize(challenges)
                    ):
                        return answer
                answer.close()
                continue
            return answer

    async def _closing(
        self, answer: aiohttp.ClientResponse, asking: Coroutine[None, None, bool]
    ) -> bool:
        try:
            return await asking
        except BaseException:
            answer.close()
            raise

    def _next(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
        if scheme not in ("http", "https"):
            raise Fault("following redirects", f"'{scheme}' is neither http nor https")
        if scheme == "http" and urlsplit(url).scheme == "https" and not self.endpoint.is_trusted:
            raise Fault("following redirects", f"'{target}' is not secure")
        return target

    async def _authorize(self, challenges: list[Challenge]) -> bool:
        """Whether there is something new to say of who we are."""
        before = self._authorization
        credential = self._credential
        for challenge in challenges:
            if challenge.scheme == "bearer":
                if credential is not None and credential.registry_token:
                    self._authorization = f"Bearer {credential.registry_token}"
                else:
                    self._authorization = f"Bearer {await self._token(challenge)}"
                    return True
                return self._authorization != before
            if challenge.scheme == "basic" and credential is not None and credential.username:
                self._authorization = _basic(credential)
                return self._authorization != before
        return False

    async def _token(self, challenge: Challenge) -> str:
        """Return a token from where the registry says. Raises Fault."""
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        step = f"asking '{parts.netloc}' for a token"
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Fault("asking for a token", f"'{self.host}' names no URL for it: '{realm}'")
        if parts.scheme == "http" and not self.endpoint.is_trusted:
            raise Fault(step, f"'{realm}' is not secure")
        asked = {"scope": challenge.parameters.get("scope") or self._scope}
        if service := challenge.parameters.get("service"):
            asked["service"] = service
        method, url, headers, body = _token_request(realm, asked, self._credential)
        try:
            answer = await self._http.request(method, url, self.endpoint, headers, body)
        except Fault as fault:
            raise Fault(step, fault.rule, passing=fault.passing) from None
        async with answer:
            self._check(answer.status, {200}, await _complaint(answer), answer, step)
            content = await self._read(answer, ANSWER_BYTES_MAX, step)
        try:
            token = msgspec.json.decode(content, type=_Token)
        except ValueError:
            raise Fault(step, "the answer is not a token") from None
        if not (text := token.token or token.access_token) or not text.isprintable():
            raise Fault(step, "the answer has no token")
        return text

    def _check(
        self,
        status: int,
        expected: set[int],
        complaint: str,
        answer: aiohttp.ClientResponse,
        step: str,
    ) -> None:
        """Raises Fault unless the status is one of those expected."""
        if status in expected:
            return
        told = f": {complaint}" if complaint else ""
        if status in (401, 403):
            who = "nobody's" if self._credential is None else "these"
            raise Fault(step, f"access is denied with {who} credentials ({status}){told}")
        if status == 404:
            raise Fault(step, f"'{self.repository}' has no such thing (404){told}")
        is_passing = status in (408, 429) or status >= 500
        pause_s = _retry_after_s(answer.headers.get("Retry-After", "")) if is_passing else None
        raise Fault(step, f"the answer is {status}{told}", passing=is_passing, pause_s=pause_s)


class RangeRefused(Fault):
    """The rest of a blob cannot be had: it has to be fetched from its beginning."""

    def __init__(self, step: str, rule: str) -> None:
        super().__init__(step, rule, passing=True)


class _Token(Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class _Error(Struct, frozen=True):
    code: str | None = None
    message: str | None = None


class _Errors(Struct, frozen=True):
    errors: list[_Error] | None = None
    details: str | None = None  # of a token server


def _token_request(
    realm: str, asked: Mapping[str, str], credential: Credential | None
) -> tuple[str, str, dict[str, str], bytes | None]:
    """Return method, URL, headers and body by which a token is asked for."""
    if credential is not None and credential.identity_token:
        form = {
            **asked,
            "grant_type": "refresh_token",
            "refresh_token": credential.identity_token,
            "client_id": "tepui",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return "POST", realm, headers, urlencode(form).encode()
    url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(asked)
    known = credential is not None and credential.username
    return "GET", url, {"Authorization": _basic(credential)} if known and credential else {}, None


def _basic(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.password}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"


async def _complaint(answer: aiohttp.ClientResponse) -> str:
    """Return what an answer that is not a good one says, in one line."""
    if answer.status < 300:
        return ""
    try:
        content = await answer.content.read(ANSWER_BYTES_MAX)
        errors = msgspec.json.decode(content, type=_Errors)
    except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
        return ""
    told = [error.message or error.code or "" for error in errors.errors or ()]
    text = "; ".join(text for text in told if text) or errors.details or ""
    return "".join(c if c.isprintable() else " " for c in text)[:COMPLAINT_LENGTH_MAX]


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def _begin_of(content_range: str) -> int:
    """Return the first byte's position: `bytes 100-199/200`; -1 if it cannot be read."""
    begin = content_range.removeprefix("bytes ").partition("-")[0]
    return int(begin) if begin.isdigit() else -1


def _retry_after_s(text: str) -> float | None:
    return float(min(int(text), RETRY_AFTER_S_MAX)) if text.isdigit() and len(text) < 10 else None


def _short(digest: str) -> str:
    return digest[:19]
