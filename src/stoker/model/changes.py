"""What a change of tasks is called for people, by its transition."""

from collections.abc import Mapping

CHANGES: Mapping[str, str] = {
    "admit": "taken out of quarantine",
    "retry": "ready again",
    "retry_blocked": "blocked, as a new step before is not done",
    "rerun": "ready again",
    "block": "blocked behind them",
    "revoke": "stopped and blocked behind them",
    "revoke_ready": "stopped and ready again",
    "cancel": "cancelled",
    "stop": "being stopped",
    "hold": "held",
    "release": "ready",
    "priority": "given the new priority",
    "release_blocked": "blocked, as a step before is not done",
}
