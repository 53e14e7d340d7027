"""Crawlers: they read the bucket, and write tables and partitions by their policies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
import pytest
from botocore.exceptions import ClientError

from .glue import GOLDEN, LAKE, ROLE, Crawler, Job, refusal, types
from .harness import Stack, shape, until

ORDERS = "id,customer,amount\n1,ann,2.5\n2,bob,3\n"


def parquet(path: Path, query: str) -> bytes:
    file = path / f"{uuid4().hex}.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")
    return file.read_bytes()


def test_a_csv_folder_is_a_table(stack: Stack) -> None:
    crawler = Crawler(stack)
    crawler.put("a.csv", ORDERS)
    crawler.put("b.csv", ORDERS)
    last = crawler.crawl()
    assert (last["Status"], last["LogGroup"], last["LogStream"]) == ("SUCCEEDED", "/aws-glue/crawlers", crawler.name)
    assert "ErrorMessage" not in last
    table = crawler.tables()["data"]
    assert types(table) == {"id": "bigint", "customer": "string", "amount": "double"}
    assert table["TableType"] == "EXTERNAL_TABLE"
    assert table["PartitionKeys"] == []
    storage = table["StorageDescriptor"]
    assert storage["Location"] == f"s3://{LAKE}/{crawler.root}/"
    assert storage["SerdeInfo"] == {
        "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
        "Parameters": {"field.delim": ","},
    }
    parameters = dict(table["Parameters"])
    assert parameters.pop("CRAWL_RUN_ID") == last["MessagePrefix"]
    assert parameters == {
        "CrawlerSchemaDeserializerVersion": "1.0",
        "CrawlerSchemaSerializerVersion": "1.0",
        "UPDATED_BY_CRAWLER": crawler.name,
        "areColumnsQuoted": "false",
        "averageRecordSize": str(2 * len(ORDERS) // 4),
        "classification": "csv",
        "columnsOrdered": "true",
        "compressionType": "none",
        "delimiter": ",",
        "objectCount": "2",
        "recordCount": "4",
        "sizeKey": str(2 * len(ORDERS)),
        "skip.header.line.count": "1",
        "typeOfData": "file",
    }
    assert crawler.changes() == (1, 0, 0)


def test_json_and_parquet_become_tables_with_nested_types(stack: Stack, tmp_path: Path) -> None:
    crawler = Crawler(stack)
    lines = [{"sensorId": 1, "at": {"x": 1.5}, "tags": ["a"]}, {"sensorId": 5000000000, "ok": True, "none": None}]
    crawler.put("events/1.json", "\n".join(map(json.dumps, lines)))
    query = """SELECT 1::int AS Id, 2.50::decimal(9,2) AS price, [1::bigint] AS l, {'a': 'x'} AS s, now() AS t,
        date '2026-01-01' AS d FROM range(7)"""
    crawler.put("facts/1.parquet", parquet(tmp_path, query))
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    assert crawler.columns("events") == {
        "sensorid": "bigint",
        "at": "struct<x:double>",
        "tags": "array<string>",
        "ok": "boolean",
        "none": "string",
    }
    serde = crawler.tables()["events"]["StorageDescriptor"]["SerdeInfo"]
    assert serde["Parameters"] == {"paths": "at,none,ok,sensorId,tags"}
    assert crawler.columns("facts") == {
        "id": "int",
        "price": "decimal(9,2)",
        "l": "array<bigint>",
        "s": "struct<a:string>",
        "t": "timestamp",
        "d": "date",
    }
    facts = crawler.tables()["facts"]
    assert (facts["Parameters"]["recordCount"], facts["Parameters"]["classification"]) == ("7", "parquet")


def test_hive_folders_are_partitions_that_the_catalogue_lists(stack: Stack) -> None:
    crawler = Crawler(stack)
    for day in ("year=2026/month=03/day=01", "year=2026/month=03/day=02"):
        crawler.put(f"{day}/part.csv", ORDERS)
    crawler.crawl()
    table = crawler.tables()["data"]
    assert table["PartitionKeys"] == [{"Name": name, "Type": "string"} for name in ("year", "month", "day")]
    assert table["Parameters"]["partition_filtering.enabled"] == "true"
    partitions = crawler.partitions("data")
    assert set(partitions) == {("2026", "03", "01"), ("2026", "03", "02")}
    first = partitions[("2026", "03", "01")]
    assert first["StorageDescriptor"]["Location"] == f"s3://{LAKE}/{crawler.root}/year=2026/month=03/day=01/"
    assert types(first) == types(table)
    crawler.put("year=2026/month=03/day=03/part.csv", ORDERS)
    crawler.crawl()
    assert len(crawler.partitions("data")) == 3
    assert crawler.changes() == (0, 0, 0)
    succeeded = until(lambda: [e for e in crawler.events() if e["detail"]["state"] == "Succeeded"][1:])[0]
    assert succeeded["detail"]["partitionsCreated"] == "1"


def test_a_new_column_updates_the_table_and_keeps_the_schema_of_old_partitions(stack: Stack) -> None:
    crawler = Crawler(stack)
    event = {"sensorId": 1, "kind": "t", "ip": "::1", "recorded": "2026", "status": "OK"}
    crawler.put("hour=00/1.json", json.dumps(event))
    crawler.crawl()
    newer = {**event, "serviceRecommendedDate": "2027"}
    crawler.put("hour=01/1.json", json.dumps(newer))
    crawler.crawl()
    assert crawler.changes() == (0, 1, 0)
    assert list(crawler.columns("data")) == [*(name.lower() for name in event), "servicerecommendeddate"]
    partitions = crawler.partitions("data")
    assert "servicerecommendeddate" not in types(partitions[("00",)])
    assert "servicerecommendeddate" in types(partitions[("01",)])
    del newer["status"]
    crawler.put("hour=02/1.json", json.dumps(newer))
    crawler.crawl()
    assert crawler.changes() == (0, 0, 0)  # the older folders still have the column
    assert "status" not in types(crawler.partitions("data")[("02",)])


def test_partitions_inherit_from_their_table(stack: Stack) -> None:
    configuration = {"Version": 1.0, "CrawlerOutput": {"Partitions": {"AddOrUpdateBehavior": "InheritFromTable"}}}
    crawler = Crawler(stack, Configuration=json.dumps(configuration))
    crawler.put("day=1/1.json", json.dumps({"a": 1, "b": 1, "c": 1}))
    crawler.crawl()
    crawler.put("day=2/1.json", json.dumps({"a": 1, "b": 1, "c": 1, "d": 1}))
    crawler.crawl()
    assert [list(types(partition)) for partition in crawler.partitions("data").values()] == [["a", "b", "c", "d"]] * 2
    detail = until(lambda: [e for e in crawler.events() if e["detail"]["state"] == "Succeeded"][1:])[0]["detail"]
    assert (detail["partitionsCreated"], detail["partitionsUpdated"], detail["tablesUpdated"]) == ("1", "1", "1")


@pytest.mark.parametrize(
    ("policy", "configuration", "columns", "changes"),
    [
        ({"UpdateBehavior": "UPDATE_IN_DATABASE"}, None, {"a": "string", "c": "int"}, (0, 1, 0)),
        ({"UpdateBehavior": "LOG"}, None, {"a": "int", "b": "int"}, (0, 0, 0)),
        (
            {"UpdateBehavior": "LOG"},
            {"Version": 1.0, "CrawlerOutput": {"Tables": {"AddOrUpdateBehavior": "MergeNewColumns"}}},
            {"a": "int", "b": "int", "c": "int"},
            (0, 1, 0),
        ),
    ],
)
def test_a_changed_schema_follows_the_policy(
    stack: Stack, policy: Any, configuration: Any, columns: dict[str, str], changes: Any
) -> None:
    extra = {"Configuration": json.dumps(configuration)} if configuration else {}
    crawler = Crawler(stack, SchemaChangePolicy={**policy, "DeleteBehavior": "LOG"}, **extra)
    crawler.put("1.json", json.dumps({"a": 1, "b": 1}))
    crawler.crawl()
    crawler.put("1.json", json.dumps({"a": "x", "c": 1}))
    crawler.crawl()
    assert crawler.columns("data") == columns
    assert crawler.changes() == changes


def test_a_changed_format_is_deprecated_if_only_new_columns_are_merged(stack: Stack) -> None:
    configuration = {"Version": 1.0, "CrawlerOutput": {"Tables": {"AddOrUpdateBehavior": "MergeNewColumns"}}}
    crawler = Crawler(stack, Configuration=json.dumps(configuration))
    crawler.put("1", json.dumps({"a": 1, "b": 1}))
    crawler.crawl()
    crawler.put("1", ORDERS)
    crawler.crawl()
    assert crawler.columns("data") == {"a": "int", "b": "int"}
    assert "DEPRECATED_BY_CRAWLER" in crawler.tables()["data"]["Parameters"]
    assert "WARN : The format of table data has changed" in crawler.log()


def test_a_table_that_a_client_made_at_the_location_is_updated(stack: Stack) -> None:
    crawler = Crawler(stack)
    crawler.put("1.csv", ORDERS)
    crawler.glue.create_database(DatabaseInput={"Name": crawler.database})
    own = {"Location": f"s3://{LAKE}/{crawler.root}", "Columns": [{"Name": "id", "Type": "int"}], "SerdeInfo": {}}
    table = {"Name": "mine", "StorageDescriptor": own, "Parameters": {"note": "x"}}
    crawler.glue.create_table(DatabaseName=crawler.database, TableInput=table)
    crawler.crawl()
    assert list(crawler.tables()) == ["mine"]
    assert crawler.columns("mine") == {"id": "bigint", "customer": "string", "amount": "double"}
    assert crawler.changes() == (0, 1, 0)


@pytest.mark.parametrize(
    ("behavior", "left", "changes"),
    [
        ("LOG", ["one", "two"], (0, 0, 0)),
        ("DELETE_FROM_DATABASE", ["one"], (0, 0, 1)),
        ("DEPRECATE_IN_DATABASE", ["one", "two"], (0, 1, 0)),
    ],
)
def test_a_deleted_folder_follows_the_policy(stack: Stack, behavior: str, left: list[str], changes: Any) -> None:
    policy = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": behavior}
    crawler = Crawler(stack, SchemaChangePolicy=policy)
    crawler.put("one/day=1/1.json", json.dumps({"a": 1, "b": 2}))
    crawler.put("one/day=2/1.json", json.dumps({"a": 1, "b": 2}))
    crawler.put("two/day=1/1.json", json.dumps({"x": 1, "y": 2}))
    crawler.crawl()
    assert sorted(crawler.tables()) == ["one", "two"]
    crawler.delete("two/day=1/1.json")
    crawler.delete("one/day=2/1.json")
    crawler.crawl()
    assert sorted(crawler.tables()) == left
    assert crawler.changes() == changes
    assert len(crawler.partitions("one")) == (1 if behavior == "DELETE_FROM_DATABASE" else 2)
    if behavior == "DEPRECATE_IN_DATABASE":
        assert crawler.tables()["two"]["Parameters"]["DEPRECATED_BY_CRAWLER"].isdigit()
        crawler.put("two/day=1/1.json", json.dumps({"x": 1, "y": 2}))
        crawler.crawl()
        assert "DEPRECATED_BY_CRAWLER" not in crawler.tables()["two"]["Parameters"]


def test_an_incremental_crawl_reads_new_folders_only(stack: Stack) -> None:
    crawler = Crawler(
        stack,
        RecrawlPolicy={"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"},
        SchemaChangePolicy={"UpdateBehavior": "LOG", "DeleteBehavior": "LOG"},
    )
    crawler.put("orders/day=1/1.csv", ORDERS)
    crawler.put("people/day=1/1.json", json.dumps({"x": 1, "y": 2}))
    crawler.crawl()
    assert sorted(crawler.tables()) == ["orders", "people"]
    crawler.put("orders/day=1/2.csv", ORDERS)
    crawler.put("orders/day=2/1.csv", ORDERS)
    crawler.put("orders/day=3/1.json", json.dumps({"q": 1}))
    crawler.delete("people/day=1/1.json")
    crawler.crawl()
    assert set(crawler.partitions("orders")) == {("1",), ("2",)}
    assert crawler.partitions("orders")[("1",)]["Parameters"]["objectCount"] == "1"
    assert sorted(crawler.tables()) == ["orders", "people"]
    assert "day=3/ does not match the schema of table orders and is ignored" in crawler.log()


def test_exclusions_and_table_levels(stack: Stack) -> None:
    name = f"levels-{uuid4().hex[:8]}"
    target = {"Path": f"s3://{LAKE}/{name}", "Exclusions": ["**.tmp", "archive/**"]}
    crawler = Crawler(
        stack,
        Targets={"S3Targets": [target]},
        TablePrefix="Raw_",
        Configuration=json.dumps({"Version": 1.0, "Grouping": {"TableLevelConfiguration": 3}}),
    )
    crawler.root = name
    for key in ("one/a/1.csv", "two/a/1.csv", "two/b/1.csv", "two/b/x.tmp", "archive/a/1.csv"):
        crawler.put(key, ORDERS if key.endswith(".csv") else "no schema")
    crawler.crawl()
    assert sorted(crawler.tables()) == ["raw_one", "raw_two"]
    two = crawler.tables()["raw_two"]
    assert two["PartitionKeys"] == [{"Name": "partition_0", "Type": "string"}]
    assert two["StorageDescriptor"]["Location"] == f"s3://{LAKE}/{name}/two/"
    assert json.loads(two["Parameters"]["exclusions"]) == [
        f"s3://{LAKE}/{name}/**.tmp",
        f"s3://{LAKE}/{name}/archive/**",
    ]
    assert set(crawler.partitions("raw_two")) == {("a",), ("b",)}


def test_a_sample_of_each_folder_is_read(stack: Stack) -> None:
    name = f"sample-{uuid4().hex[:8]}"
    crawler = Crawler(stack, Targets={"S3Targets": [{"Path": f"s3://{LAKE}/{name}/", "SampleSize": 1}]})
    crawler.root = name
    for day in (1, 2):
        crawler.put(f"day={day}/1.json", json.dumps({"a": 1}))
        crawler.put(f"day={day}/2.json", json.dumps({"other": 1}))
    crawler.crawl()
    (table,) = crawler.tables().values()
    assert types(table) == {"a": "int"}
    assert len(crawler.partitions(table["Name"])) == 2


def test_one_object_is_a_table(stack: Stack) -> None:
    name = f"object-{uuid4().hex[:8]}"
    crawler = Crawler(stack, Targets={"S3Targets": [{"Path": f"s3://{LAKE}/{name}/orders.csv"}]})
    crawler.root = name
    crawler.put("orders.csv", ORDERS)
    crawler.put("orders.csv.bak", "other")
    crawler.crawl()
    (table,) = crawler.tables().values()
    assert (table["Name"], table["StorageDescriptor"]["Location"]) == ("orders_csv", f"s3://{LAKE}/{name}/orders.csv")
    crawler.crawl()
    assert crawler.changes() == (0, 0, 0)
    crawls = crawler.glue.list_crawls(CrawlerName=crawler.name, MaxResults=1)
    older = crawler.glue.list_crawls(CrawlerName=crawler.name, NextToken=crawls["NextToken"])
    assert [json.loads(crawl["Summary"]) != {} for crawl in crawls["Crawls"] + older["Crawls"]] == [False, True]


def test_columns_that_differ_in_case_are_reported(stack: Stack) -> None:
    crawler = Crawler(stack)
    crawler.put("1.json", json.dumps({"userId": 1, "userid": 2}))
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    assert crawler.columns("data") == {"userid": "int"}
    assert "has two columns that differ in case only; userid is ignored" in crawler.log()


def test_an_empty_target_makes_no_table(stack: Stack) -> None:
    crawler = Crawler(stack)
    crawler.put("", b"")
    crawler.put("unknown.bin", b"\x00\x01")
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    assert crawler.tables() == {}
    assert crawler.changes() == (0, 0, 0)
    assert "unknown.bin has no format that a built-in classifier knows" in crawler.log()


def test_states_and_events_of_a_crawl(stack: Stack) -> None:
    crawler = Crawler(stack)
    assert crawler.get()["State"] == "READY"
    assert "LastCrawl" not in crawler.get()
    running = refusal(lambda: crawler.glue.stop_crawler(Name=crawler.name))
    assert running == ("CrawlerNotRunningException", f"Crawler with name {crawler.name} isn't running")
    crawler.put("1.csv", ORDERS)
    stack.control("faults", "POST", {"kind": "slow", "operation": "s3:ListBucket*", "seconds": 1})
    crawler.start()
    assert crawler.get()["State"] == "RUNNING"
    started = refusal(crawler.start)
    assert started == ("CrawlerRunningException", f"Crawler with name {crawler.name} has already started")
    for call in (
        lambda: crawler.glue.update_crawler(Name=crawler.name, Description="x"),
        lambda: crawler.glue.delete_crawler(Name=crawler.name),
    ):
        assert refusal(call)[0] == "CrawlerRunningException"
    until(lambda: crawler.get()["State"] == "READY")
    succeeded = until(lambda: [e for e in crawler.events() if e["detail"]["state"] == "Succeeded"])[0]
    begun = next(event for event in crawler.events() if event["detail"]["state"] == "Started")
    assert shape(begun) == shape(GOLDEN["crawler-started"])
    assert shape(succeeded) == shape(GOLDEN["crawler-succeeded"])
    assert succeeded["detail"]["tablesCreated"] == "1"
    assert succeeded["detail-type"] == "Glue Crawler State Change"
    crawls = crawler.glue.list_crawls(CrawlerName=crawler.name)["Crawls"]
    assert [crawl["State"] for crawl in crawls] == ["COMPLETED"]
    assert json.loads(crawls[0]["Summary"]) == {"TABLE": {"ADD": {"Details": {"names": ["data"]}, "Count": 1}}}


def test_a_stopped_crawl_is_cancelled_and_writes_nothing(stack: Stack) -> None:
    crawler = Crawler(stack)
    crawler.put("1.csv", ORDERS)
    stack.control("faults", "POST", {"kind": "slow", "operation": "s3:ListBucket*", "seconds": 1})
    crawler.start()
    until(lambda: stack.control("faults") == [])
    crawler.glue.stop_crawler(Name=crawler.name)
    assert crawler.get()["State"] == "STOPPING"
    assert refusal(lambda: crawler.glue.stop_crawler(Name=crawler.name))[0] == "CrawlerStoppingException"
    assert refusal(crawler.start)[0] == "CrawlerRunningException"
    last = until(lambda: (found := crawler.get())["State"] == "READY" and found["LastCrawl"])
    assert last["Status"] == "CANCELLED"
    assert crawler.tables() == {}
    assert crawler.glue.list_crawls(CrawlerName=crawler.name)["Crawls"][0]["State"] == "STOPPED"
    assert crawler.crawl()["Status"] == "SUCCEEDED"
    assert [event["detail"]["state"] for event in crawler.events()].count("Failed") == 0


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"Targets": {"S3Targets": [{"Path": "s3://toy-absent/x"}]}}, "NoSuchBucket|AccessDenied"),
        ({"Role": "toy-lender"}, "should be given assume role permissions"),
        ({"Role": "toy-glue-poor"}, "AccessDenied"),
    ],
)
def test_a_failed_crawl_says_why(stack: Stack, definition: dict[str, Any], message: str) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = stack.client("iam")
    if "toy-glue-poor" not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        iam.create_role(RoleName="toy-glue-poor", AssumeRolePolicyDocument=document)
    crawler = Crawler(stack, **definition)
    crawler.put("1.csv", ORDERS)
    last = crawler.crawl()
    assert last["Status"] == "FAILED"
    assert re.search(message, last["ErrorMessage"])
    failed = until(lambda: [e for e in crawler.events() if e["detail"]["state"] == "Failed"])[0]
    assert shape(failed) == shape(GOLDEN["crawler-failed"])
    assert failed["detail"]["errorMessage"] == last["ErrorMessage"]


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"Targets": {}}, "At least one target"),
        ({"Targets": {"S3Targets": [{"Path": "toy/x"}]}}, "must be s3://bucket/folder"),
        ({"Targets": {"JdbcTargets": [{"Path": "a/b"}]}}, "not here: .* JdbcTargets"),
        ({"Role": "absent"}, "The role with name absent cannot be found"),
        ({"Configuration": "{"}, "Configuration is not valid JSON"),
        ({"Configuration": '{"Version": 1.0, "Grouping": {"TableLevelConfiguration": 0}}'}, "positive integer"),
        ({"Configuration": '{"Version": 1.0, "Other": 1}'}, "not here: .* Other"),
        ({"Classifiers": ["mine"]}, "not here: .* Classifiers"),
        ({"Schedule": "cron(0 1 * * ? *)"}, "not here: .* Schedule"),
        ({"Targets": {"S3Targets": [{"Path": "s3://b/", "Exclusions": ["{a"]}]}}, "the brace is not closed"),
        ({"Targets": {"S3Targets": [{"Path": "s3://b/", "SampleSize": 250}]}}, "between 1 and 249"),
        ({"RecrawlPolicy": {"RecrawlBehavior": "CRAWL_NEW_FOLDERS_ONLY"}}, "can have only LOG"),
    ],
)
def test_an_invalid_crawler_is_refused(stack: Stack, definition: dict[str, Any], message: str) -> None:
    targets = {"S3Targets": [{"Path": "s3://toy-lake/x"}]}
    request = {"Name": "invalid", "Role": ROLE, "DatabaseName": "d", "Targets": targets, **definition}
    with pytest.raises(ClientError, match=message) as refused:
        stack.client("glue").create_crawler(**request)
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"


def test_what_does_not_exist_is_not_found(stack: Stack) -> None:
    glue = stack.client("glue")
    for call in (
        lambda: glue.start_crawler(Name="absent"),
        lambda: glue.stop_crawler(Name="absent"),
        lambda: glue.get_crawler(Name="absent"),
        lambda: glue.delete_crawler(Name="absent"),
        lambda: glue.list_crawls(CrawlerName="absent"),
    ):
        assert refusal(call)[0] == "EntityNotFoundException"


def test_a_caller_needs_the_permission_for_the_named_crawler(stack: Stack) -> None:
    crawler = Crawler(stack)
    order = {"service": "glue", "operation": "start_crawler", "parameters": {"Name": crawler.name}}
    assert stack.invoke({"calls": [order]})["responses"] == [{"error": "AccessDeniedException"}]
    policy = {"Effect": "Allow", "Action": "glue:StartCrawler", "Resource": f"arn:aws:glue:*:*:crawler/{crawler.name}"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    role = stack.outputs["EchoRole"].rsplit("/", 1)[-1]
    stack.client("iam").put_role_policy(RoleName=role, PolicyName="crawler", PolicyDocument=document)
    assert stack.invoke({"calls": [order]})["responses"] == [{}]


SUM = """
import csv, io, sys
import boto3
from awsglue.utils import getResolvedOptions

options = getResolvedOptions(sys.argv, ["database", "table", "day"])
table = boto3.client("glue").get_table(DatabaseName=options["database"], Name=options["table"])["Table"]
glue, s3 = boto3.client("glue"), boto3.client("s3")
partitions = glue.get_partitions(DatabaseName=options["database"], TableName=options["table"])["Partitions"]
(location,) = [p["StorageDescriptor"]["Location"] for p in partitions if p["Values"] == [options["day"]]]
bucket, _, prefix = location.removeprefix("s3://").partition("/")
total = 0
for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
    text = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().decode()
    names = [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
    rows = list(csv.DictReader(io.StringIO(text), fieldnames=names))
    total += sum(float(row["amount"]) for row in rows[int(table["Parameters"]["skip.header.line.count"]):])
print("total", total)
"""


def test_a_job_reads_the_table_that_a_crawler_made(stack: Stack) -> None:
    crawler = Crawler(stack)
    crawler.put("day=01/orders.csv", ORDERS)
    crawler.put("day=02/orders.csv", ORDERS.replace("2.5", "7"))
    crawler.crawl()
    job = Job(stack, SUM, DefaultArguments={"--database": crawler.database, "--table": "data"})
    run = job.ended(Arguments={"--day": "02"})
    assert run["JobRunState"] == "SUCCEEDED", run
    assert job.log(run["Id"], "output") == ["total 10.0"]


def test_a_template_makes_a_crawler(stack: Stack) -> None:
    crawler = stack.client("glue").get_crawler(Name="toy-crawler")["Crawler"]
    assert crawler["Targets"]["S3Targets"] == [{"Path": "s3://toy-lake/toy/", "Exclusions": ["**.tmp"]}]
    assert crawler["SchemaChangePolicy"] == {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "LOG"}
    assert crawler["RecrawlPolicy"] == {"RecrawlBehavior": "CRAWL_EVERYTHING"}
    assert (crawler["State"], crawler["Version"]) == ("READY", 1)
