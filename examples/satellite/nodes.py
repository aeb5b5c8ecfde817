"""Print what each node did, from `stoker attempts --json`: as `sacct` does for jobs, but for tasks."""

import json
import sys
from collections import defaultdict
from datetime import datetime
from typing import Any


def main() -> None:
    """Read one attempt a line from standard input."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in sys.stdin:
        attempt = json.loads(line)
        if attempt["started_at"] is not None:
            rows[attempt["host"], attempt["batch_id"] or "-"].append(attempt)
    print(
        f"{'NODE':12} {'JOB':16} {'TASKS':>6} {'FAILED':>6} {'PROCESSES':>9} {'CPU':>9} {'MEMORY':>8}  FROM      TO"
    )
    for (host, job), attempts in sorted(rows.items()):
        failed = sum(one["state"] != "succeeded" for one in attempts)
        cpu_s = sum((one["user_s"] or 0) + (one["system_s"] or 0) for one in attempts)
        most = max(one["max_rss_bytes"] or 0 for one in attempts) / 2**20
        ends = [clock(one["ended_at"]) for one in attempts if one["ended_at"]]
        began = min(clock(one["started_at"]) for one in attempts)
        processes = len({one["pid"] for one in attempts})
        print(
            f"{host:12} {job:16} {len(attempts):6} {failed:6} {processes:9} {cpu_s:7.1f} s {most:5.0f} M"
            f"  {began}  {max(ends, default='running')}"
        )


def clock(text: str) -> str:
    """Return the time of day of a time in JSON."""
    return f"{datetime.fromisoformat(text):%H:%M:%S}"


if __name__ == "__main__":
    main()
