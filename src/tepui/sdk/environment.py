"""What the agent tells an executor by its environment.

Source: Mesos docs/executor-http-api.md, the environments of recorded executors.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tepui.base.durations import parse_duration_ms
from tepui.base.errors import Refused
from tepui.sdk.core.execution import Identity

GRACE_PERIOD = "5secs"  # Mesos' default of each of these
RECOVERY_TIMEOUT = "15mins"
SUBSCRIPTION_BACKOFF_MAX = "2secs"
TRUE = frozenset(("1", "true"))


class Environment(Struct, frozen=True):
    """All an executor needs to know to subscribe, to wait and to end."""

    agent: str  # base URL
    identity: Identity
    sandbox: str
    grace_period_ms: int
    backoff_ms_max: int
    token: str | None

    @staticmethod
    def read(env: Mapping[str, str]) -> Environment:
        """The environment an agent sets; raises Refused naming the variable that is not right."""
        scheme = "https" if env.get("LIBPROCESS_SSL_ENABLED", "").lower() in TRUE else "http"
        return Environment(
            agent=f"{scheme}://{_required(env, 'MESOS_AGENT_ENDPOINT')}",
            identity=Identity(
                framework_id=_required(env, "MESOS_FRAMEWORK_ID"),
                executor_id=_required(env, "MESOS_EXECUTOR_ID"),
                checkpoint=env.get("MESOS_CHECKPOINT", "").lower() in TRUE,
                recovery_timeout_ms=_duration_ms(env, "MESOS_RECOVERY_TIMEOUT", RECOVERY_TIMEOUT),
            ),
            sandbox=env.get("MESOS_SANDBOX") or env.get("MESOS_DIRECTORY") or ".",
            grace_period_ms=_duration_ms(env, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", GRACE_PERIOD),
            backoff_ms_max=_duration_ms(
                env, "MESOS_SUBSCRIPTION_BACKOFF_MAX", SUBSCRIPTION_BACKOFF_MAX
            ),
            token=env.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN"),
        )


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise Refused(f"environment variable {name} is not set: executors are started by an agent")
    return value


def _duration_ms(env: Mapping[str, str], name: str, default: str) -> int:
    try:
        return parse_duration_ms(env.get(name) or default)
    except Refused as refused:
        raise Refused(f"environment variable {name}: {refused.text}") from None
