"""OGC API - Processes, Part 1, 1.0 (OGC 18-062r2): a pipeline is a process, an item of it a job."""

from stoker.web.ogc import definition, jobs, landing, processes
from stoker.web.routing import Resource

RESOURCES: list[Resource] = [
    *landing.RESOURCES,
    *definition.RESOURCES,
    *processes.RESOURCES,
    *jobs.RESOURCES,
]
