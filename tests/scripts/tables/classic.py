"""The wrong requests to the classic endpoints, those that take some input."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from tests.scripts.tables.case import Case, Section, Table
from tests.scripts.tables.common import ODD_IDS
from tests.scripts.tables.master import GONE, WEB

MANY_FIELDS = "&".join(f"a{number}=1" for number in range(1_001))

Cases = Iterator[Case]


def master_tables() -> Iterator[Table]:
    """Of the master."""
    for name, cases in (
        ("teardown", _teardown()),
        ("kill", _kill()),
        ("explain", _explain()),
        ("views", _views()),
        ("files", _files("/master/log")),
    ):
        yield _table("master", name, list(cases))


def agent_tables() -> Iterator[Table]:
    """Of the agent."""
    yield _table("agent", "views", list(_agent_views()))
    yield _table("agent", "files", [*_files("/sandbox"), *_file_numbers()])


def _table(daemon: str, name: str, cases: list[Case]) -> Table:
    return Table(
        name=f"classic-{daemon}-{name}",
        about=f"Classic endpoints of the {daemon}: {name}.",
        path="/",
        headers={},
        sections=[Section("Requests", cases)],
    )


def _get(title: str, path: str, *, shown: str = "") -> Case:
    return Case(title=title, method="GET", path=path, shown=shown)


def _post(title: str, path: str, form: str, *, shown: str = "") -> Case:
    return Case(title=title, path=path, body=form.encode(), shown=shown)


def _teardown() -> Cases:
    for method in ("GET", "PUT", "DELETE"):
        body = f"frameworkId={WEB}".encode()
        yield Case(title="not a POST", method=method, path="/teardown", body=body)
    yield _post("no form", "/teardown", "")
    yield _post("another name", "/teardown", f"framework_id={WEB}")
    yield _post("a JSON body", "/teardown", f'{{"frameworkId":"{WEB}"}}')
    yield Case(title="the id in the query", path=f"/teardown?frameworkId={WEB}")
    for odd in (*ODD_IDS, GONE):
        yield _post("a framework that is not there", "/teardown", f"frameworkId={quote(odd)}")
    yield _post("percent signs that quote nothing", "/teardown", "frameworkId=%zz%")
    yield _post(
        "more than 1000 fields", "/teardown", MANY_FIELDS, shown="body: a0=1&a1=1&… up to a1000=1"
    )


def _kill() -> Cases:
    for method in ("GET", "PUT"):
        body = f"framework_id={WEB}&task_id=t".encode()
        yield Case(title="not a POST", method=method, path="/kill", body=body)
    for form in ("", f"framework_id={WEB}", "task_id=t", f"framework_id={WEB}&task_id="):
        yield _post("something missing", "/kill", form)
    for odd in (*ODD_IDS[1:], GONE):
        yield _post(
            "a framework that is not there", "/kill", f"framework_id={quote(odd)}&task_id=t"
        )
    for odd in ODD_IDS[1:]:
        form = f"framework_id={WEB}&task_id={quote(odd)}"
        yield _post("a task that is not there", "/kill", form)


def _explain() -> Cases:
    yield _get("no framework", "/explain")
    yield _get("an empty one", "/explain?framework_id=")
    for odd in ODD_IDS[1:]:
        yield _get("a framework that is not there", f"/explain?framework_id={quote(odd)}")
    yield _get("one that was torn down", f"/explain?framework_id={GONE}")
    for odd in ODD_IDS[1:]:
        path = f"/explain?framework_id={WEB}&task_id={quote(odd)}"
        yield _get("a task that is not there", path)
    for amounts in (
        "cpus=",
        "cpus=x",
        "cpus=-1",
        "cpus=nan",
        "cpus=inf",
        "cpus=1e999",
        "cpus=1&cpus=x",
        "ports=1-0",
        "=1",
        "a%20b=1",
        "cpus=1;mem",
        "nope=1",
    ):
        path = f"/explain?framework_id={WEB}&{amounts}"
        yield _get("amounts that are none", path)
    yield Case(title="not a GET", path=f"/explain?framework_id={WEB}")


def _views() -> Cases:
    for odd in ODD_IDS[1:4]:
        for path in (
            f"/frameworks?framework_id={quote(odd)}",
            f"/slaves?slave_id={quote(odd)}",
            f"/slaves/{quote(odd, safe='')}",
            f"/tasks?task_id={quote(odd)}",
            f"/tasks?framework_id={quote(odd)}",
        ):
            yield _get("something that is not there", path)
    for query in ("limit=x", "limit=-1", "limit=1e9", "offset=x", "offset=-1", "order=x"):
        yield _get("numbers that are none are as if not given", f"/tasks?task_id=nope&{query}")
    for timeout in ("", "x", "1", "1sec", "-1secs", "1secs1", "1e9secs", "1parsecs", "nansecs"):
        yield _get("a timeout that is none", f"/metrics/snapshot?timeout={timeout}")
    yield _get(
        "more than 1000 fields",
        f"/state?{MANY_FIELDS}",
        shown="query: a0=1&a1=1&… up to a1000=1",
    )
    for path in ("/nope", "/master/nope", "/api", "/State", "/observe", "/monitor/statistics"):
        yield _get("a path that nobody serves", path)


def _agent_views() -> Cases:
    for odd in ODD_IDS:
        path = f"/containers?container_id={quote(odd)}"
        yield _get("a container that is not there", path)
    for path in ("/nope", "/tasks", "/frameworks", "/redirect", "/slave", "/slave/state", "/"):
        yield _get("a path that nobody serves", path)
    yield _get(
        "more than 1000 fields",
        f"/containers?{MANY_FIELDS}",
        shown="query: a0=1&a1=1&… up to a1000=1",
    )


def _files(root: str) -> Cases:
    for name in ("browse", "read", "download"):
        yield _get("no path", f"/files/{name}")
        for path in (
            "",
            "/",
            "nope",
            "/nope",
            "/etc/passwd",
            "/../etc/passwd",
            f"{root}/..",
            f"{root}/../../etc/passwd",
            f"{root}/%2e%2e/%2e%2e/etc/passwd",
            f"{root}/nope",
            f"{root}/a%00b",
            f"{root}/%ff",
            f"{root}/" + "x" * 300,
        ):
            yield _get("a file that is not to be seen", f"/files/{name}?path={path}")
    for numbers in ("offset=x", "offset=-2", "offset=1e3", "length=x", "length=-2", "offset=1.5"):
        yield _get("numbers that are none", f"/files/read?path=/nope&{numbers}")
    for path in ("/files", "/files/nope"):
        yield _get("a path that nobody serves", path)


def _file_numbers() -> Cases:
    yield _get("a directory", "/files/read?path=/sandbox")
    yield _get("a directory", "/files/download?path=/sandbox")
    for numbers in (
        "offset=99999999999999999999999999",
        "offset=9223372036854775808",
        "offset=100&length=5",
        "length=99999999999999999999999999",
        "offset=٣",
        "offset=%201",
        "offset=1_0",
    ):
        yield _get("numbers beyond the file", f"/files/read?path=/sandbox/stdout&{numbers}")
