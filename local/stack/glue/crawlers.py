"""Crawlers: their definitions, states and history. MiniStack stores them; a crawl of its own only waits."""

from __future__ import annotations

import contextvars
import copy
import json
import logging
import threading
import time
import uuid
from statistics import median
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id
from ministack.services import glue

from ..patches import pin
from . import logs, notices, roles
from .crawl import Crawl, Stopped
from .grouping import Folder
from .refusals import Refused, Response, invalid, not_found, not_here, operation
from .settings import DEFAULT_POLICY, Settings

LOG_GROUP = "/aws-glue/crawlers"
SESSION = "AWS-Crawler"
HISTORY_PAGE, HISTORY_MAX = 20, 100
"""Crawls on a page of ListCrawls: the default and the maximum (API reference)."""
MEMBERS = (
    "Role",
    "DatabaseName",
    "Description",
    "Targets",
    "Schedule",
    "Classifiers",
    "TablePrefix",
    "SchemaChangePolicy",
    "RecrawlPolicy",
    "LineageConfiguration",
    "LakeFormationConfiguration",
    "Configuration",
    "CrawlerSecurityConfiguration",
)

logger = logging.getLogger(__name__)
_lock = threading.RLock()


class Past:
    """What is known of a crawler beside its definition: its crawls, and the folders that they have read."""

    def __init__(self) -> None:
        self.crawls: list[dict[str, Any]] = []
        self.folders: set[Folder] = set()
        self.counts: dict[str, int] = {}
        self.seconds: list[float] = []
        self.stop = threading.Event()


_past: dict[tuple[str, str], Past] = {}
"""By account and ARN of the crawler."""


def apply() -> None:
    """Replaces the operations of crawlers."""
    pin.replace(glue, "_create_crawler", operation("CreateCrawler", create))
    pin.replace(glue, "_update_crawler", operation("UpdateCrawler", update))
    pin.replace(glue, "_delete_crawler", operation("DeleteCrawler", delete))
    pin.replace(glue, "_get_crawler", operation("GetCrawler", get))
    pin.replace(glue, "_get_crawlers", operation("GetCrawlers", get_all))
    pin.replace(glue, "_start_crawler", operation("StartCrawler", start))
    pin.replace(glue, "_stop_crawler", operation("StopCrawler", stop))
    pin.replace(glue, "_get_crawler_metrics", operation("GetCrawlerMetrics", metrics))
    list_crawls_of = operation("ListCrawls", list_crawls)

    def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Response:
        if headers.get("x-amz-target", "").endswith(".ListCrawls"):
            return list_crawls_of(json.loads(body or b"{}"))
        return handle_request(method, path, headers, body, query)

    handle_request = pin.replace(glue, "_handle_request_sync", handle)


def create(data: dict[str, Any]) -> dict[str, Any]:
    name = data["Name"]
    if name in glue._crawlers:
        raise Refused("AlreadyExistsException", f"{name} already exists")
    crawler = _checked({"Name": name, **{member: data[member] for member in MEMBERS if member in data}})
    now = time.time()
    glue._crawlers[name] = {**crawler, "State": "READY", "CreationTime": now, "LastUpdated": now, "Version": 1}
    if data.get("Tags"):
        glue._tags[glue._arn("crawler", name)] = dict(data["Tags"])
    _past.pop(_key(name), None)
    return {}


def update(data: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        crawler = _idle(data["Name"])
        given = {member: data[member] for member in MEMBERS if member in data}
        changed = _checked({**crawler, **given})
        if "Targets" in given and Settings.of(crawler).new_folders_only and changed["Targets"] != crawler["Targets"]:
            raise invalid("The S3 targets of a crawler that crawls new folders only cannot be changed")
        crawler.update(changed, LastUpdated=time.time(), Version=crawler["Version"] + 1)
    return {}


def delete(data: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        _idle(data["Name"])
        del glue._crawlers[data["Name"]]
        _past.pop(_key(data["Name"]), None)
    return {}


def get(data: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        return {"Crawler": _shown(_find(data["Name"]))}


def get_all(_: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        return {"Crawlers": [_shown(crawler) for crawler in glue._crawlers.values()]}


def start(data: dict[str, Any]) -> dict[str, Any]:
    with _lock:
        crawler = _idle(data["Name"])
        settings = Settings.of(crawler)
        past = _past_of(crawler["Name"])
        past.stop.clear()
        crawl = {
            "CrawlId": str(uuid.uuid4()),
            "State": "RUNNING",
            "StartTime": time.time(),
            "LogGroup": LOG_GROUP,
            "LogStream": crawler["Name"],
        }
        crawl["MessagePrefix"] = crawl["CrawlId"]
        past.crawls.append(crawl)
        crawler["State"] = "RUNNING"
    # # Accounts and regions of MiniStack are in the context of the request.
    work = (_crawl, crawler, settings, past, crawl)
    threading.Thread(target=contextvars.copy_context().run, args=work, daemon=True).start()
    return {}


def stop(data: dict[str, Any]) -> dict[str, Any]:
    """Stops the crawl before it writes to the catalogue."""
    with _lock:
        crawler = _find(data["Name"])
        if crawler["State"] == "READY":
            raise Refused("CrawlerNotRunningException", f"Crawler with name {crawler['Name']} isn't running")
        if crawler["State"] == "STOPPING":
            raise Refused("CrawlerStoppingException", f"Crawler with name {crawler['Name']} is already stopping")
        crawler["State"] = "STOPPING"
        _past_of(crawler["Name"]).stop.set()
    return {}


def metrics(data: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the latest crawl of each crawler."""
    with _lock:
        names = data.get("CrawlerNameList") or list(glue._crawlers.keys())
        return {"CrawlerMetricsList": [_metrics(name) for name in names if name in glue._crawlers]}


def list_crawls(data: dict[str, Any]) -> dict[str, Any]:
    """The crawls, the newest first. The token is the id of the last crawl of the page before."""
    if data.get("Filters"):
        raise not_here("Filters of ListCrawls")
    with _lock:
        _find(data["CrawlerName"])
        crawls = [copy.deepcopy(crawl) for crawl in reversed(_past_of(data["CrawlerName"]).crawls)]
    token = data.get("NextToken")
    if token:
        ids = [crawl["CrawlId"] for crawl in crawls]
        if token not in ids:
            raise invalid(f"NextToken is not valid: {token}")
        crawls = crawls[ids.index(token) + 1 :]
    size = min(data.get("MaxResults", HISTORY_PAGE), HISTORY_MAX)
    page = {"Crawls": crawls[:size]}
    return {**page, "NextToken": crawls[size - 1]["CrawlId"]} if len(crawls) > size else page


def _crawl(crawler: dict[str, Any], settings: Settings, past: Past, crawl: dict[str, Any]) -> None:
    name, link = crawler["Name"], notices.log_link(LOG_GROUP, crawler["Name"])
    log_line(crawl, "BENCHMARK", f"Running Start Crawl for Crawler {name}")
    notices.crawler_started(name, crawl["StartTime"])
    try:
        changes = _crawled(crawler, settings, past, crawl)
    except Stopped:
        _end(crawler, past, crawl, "CANCELLED", {})
        return
    except Exception as failure:
        logger.debug("the crawler %s failed", name, exc_info=True)
        _end(crawler, past, crawl, "FAILED", {}, str(failure))
        notices.crawler_failed(name, link, str(failure))
        return
    _end(crawler, past, crawl, "SUCCEEDED", changes)
    notices.crawler_succeeded(name, link, past.seconds[-1], changes)


def _crawled(crawler: dict[str, Any], settings: Settings, past: Past, crawl: dict[str, Any]) -> dict[str, int]:
    """Crawls, and returns the numbers of changes. The crawler is STOPPING while it writes to the catalogue."""

    def check() -> None:
        if past.stop.is_set():
            raise Stopped

    session = roles.assume(settings.role, SESSION, glue._arn("crawler", settings.crawler), crawl["CrawlId"])
    try:
        work = Crawl(
            settings, crawl["CrawlId"], session, past.folders, lambda level, text: log_line(crawl, level, text)
        )
        work.read(check)
        with _lock:
            check()
            crawler["State"] = "STOPPING"
        work.write()
    finally:
        session.end()
    crawl["Summary"] = _summary(work.changes.tables, work.changes.partitions)
    return work.changes.counts


def _end(
    crawler: dict[str, Any], past: Past, crawl: dict[str, Any], status: str, counts: dict[str, int], error: str = ""
) -> None:
    """Makes the crawler READY with its `LastCrawl`."""
    log_line(crawl, "ERROR" if error else "BENCHMARK", error or f"Crawler has finished running with status {status}")
    state = {"SUCCEEDED": "COMPLETED", "FAILED": "FAILED", "CANCELLED": "STOPPED"}[status]
    failure = {"ErrorMessage": error[:2048]} if error else {}
    places = {name: crawl[name] for name in ("LogGroup", "LogStream", "MessagePrefix", "StartTime")}
    with _lock:
        now = time.time()
        past.counts = counts
        past.seconds.append(now - crawl["StartTime"])
        crawl.update(State=state, EndTime=now, DPUHour=0.0, **failure)
        crawler.update(State="READY", LastCrawl={"Status": status, **failure, **places})


def _summary(tables: dict[str, list[str]], partitions: dict[str, int]) -> str:
    """What ListCrawls says about the changes; at most 255 characters (API reference), so names may be missing."""
    verbs = {"Created": "ADD", "Updated": "UPDATE", "Deleted": "DELETE"}
    changed: dict[str, Any] = {}
    for what, names in tables.items():
        if names:
            changed.setdefault("TABLE", {})[verbs[what]] = {"Details": {"names": names}, "Count": len(names)}
    for what, count in partitions.items():
        if count:
            changed.setdefault("PARTITION", {})[verbs[what]] = {"Count": count}
    text = json.dumps(changed)
    if len(text) <= 255:
        return text
    for change in changed.get("TABLE", {}).values():
        del change["Details"]
    return json.dumps(changed)


def log_line(crawl: dict[str, Any], level: str, message: str) -> None:
    logs.write(crawl["LogGroup"], crawl["LogStream"], [f"[{crawl['CrawlId']}] {level} : {message}"])


def _metrics(name: str) -> dict[str, Any]:
    past = _past_of(name)
    counts = {f"Tables{what}": past.counts.get(f"tables{what}", 0) for what in ("Created", "Updated", "Deleted")}
    return {
        "CrawlerName": name,
        "TimeLeftSeconds": 0.0,
        "StillEstimating": False,
        "LastRuntimeSeconds": past.seconds[-1] if past.seconds else 0.0,
        "MedianRuntimeSeconds": median(past.seconds) if past.seconds else 0.0,
        **counts,
    }


def _checked(crawler: dict[str, Any]) -> dict[str, Any]:
    """The definition with its defaults. Raises `Refused` if it is not valid or not possible here."""
    role = crawler.get("Role") or ""
    arn = role if role.startswith("arn:") else f"arn:aws:iam::{get_account_id()}:role/{role}"
    missing = iam_evaluator.validate_role_arn(arn)
    if missing:
        raise invalid(missing)
    found = {**crawler, "SchemaChangePolicy": {**DEFAULT_POLICY, **(crawler.get("SchemaChangePolicy") or {})}}
    found["RecrawlPolicy"] = crawler.get("RecrawlPolicy") or {"RecrawlBehavior": "CRAWL_EVERYTHING"}
    found["LineageConfiguration"] = crawler.get("LineageConfiguration") or {"CrawlerLineageSettings": "DISABLE"}
    found["Classifiers"] = crawler.get("Classifiers") or []
    Settings.of(found)
    return copy.deepcopy(found)


def _shown(crawler: dict[str, Any]) -> dict[str, Any]:
    """A copy of the crawler, with the time of the crawl that runs."""
    shown = {name: copy.deepcopy(value) for name, value in crawler.items() if value not in (None, "")}
    crawls = _past_of(crawler["Name"]).crawls
    running = crawler["State"] != "READY" and bool(crawls)
    shown["CrawlElapsedTime"] = int((time.time() - crawls[-1]["StartTime"]) * 1000) if running else 0
    return shown


def _find(name: str) -> dict[str, Any]:
    crawler: dict[str, Any] | None = glue._crawlers.get(name)
    if crawler is None:
        raise not_found(f"Crawler entry with name {name} does not exist")
    return crawler


def _idle(name: str) -> dict[str, Any]:
    """The crawler; raises CrawlerRunningException unless it is READY."""
    crawler = _find(name)
    if crawler["State"] != "READY":
        raise Refused("CrawlerRunningException", f"Crawler with name {name} has already started")
    return crawler


def _key(name: str) -> tuple[str, str]:
    return get_account_id(), glue._arn("crawler", name)


def _past_of(name: str) -> Past:
    return _past.setdefault(_key(name), Past())
