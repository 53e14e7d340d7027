"""The rules of crawlers as tables: exclude patterns, types, headers, tables and partitions."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
from typing import Any

import pytest

from local.stack.glue import columns, globs, grouping
from local.stack.glue.formats import SAMPLE, Content, classify


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*.csv", ["a.csv", ".csv"], ["x/a.csv", "a.csv.gz"]),
        ("*.*", ["a.b", ".hidden"], ["ab", "x/a.b"]),
        ("*.{csv,avro}", ["a.csv", "a.avro"], ["a.json", "a.{csv,avro}"]),
        ("foo.?", ["foo.a"], ["foo.", "foo.ab", "foo./"]),
        ("myfolder/*", ["myfolder/a"], ["myfolder/a/b"]),
        ("myfolder/*/*", ["myfolder/a/b"], ["myfolder/a", "myfolder/a/b/c"]),
        ("myfolder/**", ["myfolder/a", "myfolder/a/b"], ["myfolder", "other/a"]),
        ("myfolder**", ["myfolder", "myfolder/mydata.txt", "myfolder2"], ["other"]),
        ("**.csv", ["a.csv", "x/y/a.csv"], ["a.json"]),
        ("departments/market*", ["departments/market-us.json"], ["departments/finance.json"]),
        ("2015/01/{[!0],0[8-9]}**", ["2015/01/12/a", "2015/01/08/a"], ["2015/01/07/a", "2015/02/12/a"]),
        ("2015/0[2-9]/**", ["2015/03/01/a"], ["2015/01/01/a", "2015/10/01/a"]),
        ("[abce-g]", ["a", "f"], ["d", "h", "aa"]),
        ("[!a-c]x", ["dx"], ["ax", "/x"]),
        ("[-a]", ["-", "a"], ["b"]),
        ("[*?]", ["*", "?"], ["a"]),
        (r"\{a\}\\", ["{a}\\"], ["a"]),
        ("a,b", ["a,b"], ["a"]),
    ],
)
def test_exclude_patterns(pattern: str, matches: list[str], others: list[str]) -> None:
    assert [path for path in matches + others if globs.excluded(path, [pattern])] == matches


@pytest.mark.parametrize("pattern", ["{a", "[a", "{a{b}}"])
def test_an_invalid_exclude_pattern_is_rejected(pattern: str) -> None:
    with pytest.raises(globs.InvalidPattern):
        globs.compiled(pattern)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1], "int"),
        ([1, 2**31], "bigint"),
        ([1, 1.5], "double"),
        ([True, None], "boolean"),
        ([None], "string"),
        ([1, "x"], "string"),
        ([True, 1], "string"),
        ([[]], "array<string>"),
        ([[1], [2.5]], "array<double>"),
        ([{"a": 1}, {"b": "x"}], "struct<a:int,b:string>"),
        ([[{"a": [1]}]], "array<struct<a:array<int>>>"),
        ([{"a": 1}, 1], "string"),
    ],
)
def test_the_type_of_json_values(values: list[Any], kind: str) -> None:
    assert columns.text_of(columns.merged_types(map(columns.of_json, values))) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1", "bigint"),
        ("-007", "bigint"),
        ("1" * 19, "double"),
        ("1.", "double"),
        (".5e-3", "double"),
        ("true", "boolean"),
        ("2026-01-01", "string"),
        ("1,5", "string"),
        (" ", None),
    ],
)
def test_the_type_of_a_csv_field(text: str, kind: str | None) -> None:
    assert columns.of_text(text) == kind


def of(body: str | bytes) -> Content:
    data = body.encode() if isinstance(body, str) else body
    return classify(data[:SAMPLE], len(data))


@pytest.mark.parametrize(
    ("body", "delimiter", "header", "found"),
    [
        ("a,b\n1,x\n", ",", True, {"a": "bigint", "b": "string"}),
        ("A Name|B\nx|1\n", "|", True, {"a name": "string", "b": "bigint"}),
        ("a\tb\r\n1\t2\r\n", "\t", True, {"a": "bigint", "b": "bigint"}),
        ("a;b\n1;2\n", ";", True, {"a": "bigint", "b": "bigint"}),
        ("a\x01b\n1\x012\n", "\x01", True, {"a": "bigint", "b": "bigint"}),
        # All columns are strings: the first row is not different enough to be a header.
        ("a,b\nx,y\n", ",", False, {"col0": "string", "col1": "string"}),
        # A number in the first row.
        ("a,1\nx,2\n", ",", False, {"col0": "string", "col1": "bigint"}),
        ("1,2\n3,4.5\n", ",", False, {"col0": "bigint", "col1": "double"}),
        # The last column may be empty; any other column of a header may not.
        ("a,\n1,\n", ",", True, {"a": "bigint", "col1": "string"}),
        (",b\n1,2\n", ",", False, {"col0": "bigint", "col1": "string"}),
        ('a,b\n1,"x,\ny"\n', ",", True, {"a": "bigint", "b": "string"}),
        ("\ufeffa,b\n1,2\n", ",", True, {"a": "bigint", "b": "bigint"}),
        (f"{'a' * 150},b\n1,2\n", ",", False, {"col0": "string", "col1": "string"}),
    ],
)
def test_csv(body: str, delimiter: str, header: bool, found: dict[str, str]) -> None:
    content = of(body)
    assert (content.classification, content.delimiter, content.header) == ("csv", delimiter, header)
    assert {name: columns.text_of(kind) for name, kind in content.columns.items()} == found
    assert content.records == 2 - header


@pytest.mark.parametrize(
    "body",
    ["", "a\n1\n", "a,b\n", "a,b\n1\n", "text", "{not json", b"\xff\xfe\x00a", b"PAR1", b"PAR1xPAR1", b"\x1f\x8bx"],
)
def test_what_no_classifier_knows(body: str | bytes) -> None:
    assert of(body).classification == "UNKNOWN"


@pytest.mark.parametrize(
    ("body", "found", "records"),
    [
        ('{"a": 1}\n{"B": "x"}\n', {"a": "int", "b": "string"}, 2),
        ('{"a": 1}{"a": 2}', {"a": "int"}, 2),
        ('{\n  "a": {"B": 1}\n}', {"a": columns.Struct((("B", "int"),))}, 1),
        ('[{"a": 1}, {"a": 2.5}]', {"array": [columns.Struct((("a", "double"),))]}, 1),
        ('{"a": 1}\n{"a": ', {"a": "int"}, 1),
    ],
)
def test_json(body: str, found: dict[str, Any], records: int) -> None:
    content = of(body)
    assert (content.classification, content.columns, content.records) == ("json", found, records)


def test_compressed_and_large_files_are_read_from_their_beginning() -> None:
    text = "\n".join(json.dumps({"a": number, "b": "x" * 100}) for number in range(30_000))
    plain = of(text)
    assert plain.columns == {"a": "int", "b": "string"}
    assert abs(plain.records - 30_000) < 300  # an estimate from the sample
    assert of(gzip.compress(text[:5000].encode())).compression == "gzip"
    assert of(bz2.compress(text[:5000].encode())).compression == "bzip2"
    assert of(gzip.compress(text[:5000].encode())).columns == plain.columns
    assert of(("é" * SAMPLE)[: SAMPLE // 2] + "a,b\n1,2\n").classification == "UNKNOWN"


def test_names_that_differ_in_case_only() -> None:
    content = of('{"Id": 1, "id": "x", "ID": 2}')
    assert (content.columns, content.dropped) == ({"id": "int"}, ("id", "ID"))


A, B = {"a": "int", "b": "int", "c": "int"}, {"x": "int", "y": "int"}


def found(files: dict[str, Any], combine: bool = False, level: int | None = None, known: Any = ()) -> dict[str, Any]:
    """Roots of the tables, each with its partition keys and values, for files with a schema or a content."""
    objects = [
        grouping.Object(tuple(path.split("/")), 1, what if isinstance(what, Content) else Content("json", "none", what))
        for path, what in sorted(files.items())
    ]
    tables = grouping.tables(objects, grouping.Policy(combine, level), 1, known).tables
    return {"/".join(t.root): (t.keys, [p.values for p in t.partitions]) for t in tables}


def test_tables_and_partitions() -> None:
    jan = {"year=2019/month=Jan/day=1/f": A, "year=2019/month=Jan/day=2/f": A, "year=2019/month=Feb/day=1/f": A}
    values = [("2019", "Feb", "1"), ("2019", "Jan", "1"), ("2019", "Jan", "2")]
    assert found(jan) == {"": (("year", "month", "day"), values)}
    two = {"table1/partition1/f": A, "table1/partition2/f": A, "table2/partition4/f": A}
    values = [("table1", "partition1"), ("table1", "partition2"), ("table2", "partition4")]
    assert found(two) == {"": (("partition_0", "partition_1"), values)}
    # Different schemas: a table for each folder, or for each object of one folder.
    assert found({"one/f": A, "two/f": B}) == {"one": ((), []), "two": ((), [])}
    assert found({"a.json": A, "b.json": B}) == {"a.json": ((), []), "b.json": ((), [])}
    assert found({"a.json": A, "b.json": A}) == {"": ((), [])}
    # A folder with objects and folders is not a table.
    assert found({"a.json": A, "x/b.json": A}) == {"a.json": ((), []), "x": ((), [])}
    # Different formats are different tables, whatever their schemas.
    csv = Content("csv", "none", A, delimiter=",")
    assert found({"one/f": A, "two/f": csv}) == {"one": ((), []), "two": ((), [])}
    assert found({"one/f": A, "two/f": Content("json", "gzip", A)}) == {"one": ((), []), "two": ((), [])}


def test_schemas_are_similar_or_combined() -> None:
    year = {"year=2017/f": {"A": "int", "B": "int"}, "year=2018/f": {"C": "int", "D": "int"}}
    assert found(year) == {"year=2017": ((), []), "year=2018": ((), [])}
    assert found(year, combine=True) == {"": (("year",), [("2017",), ("2018",)])}
    drift = {f"h={n}/f": {f"c{i}": "int" for i in range(n, n + 8)} for n in range(6)}
    assert list(found(drift)) == [""]  # each folder is similar to the next one


def test_the_table_level() -> None:
    files = {"one/a/f": A, "one/b/f": A, "two/a/f": A}
    expected = {"one": (("partition_0",), [("a",), ("b",)]), "two": (("partition_0",), [("a",)])}
    assert found(files, level=2) == expected
    assert list(found(files, level=1)) == [""]
    assert list(found({**files, "top": A}, level=2)) == ["one", "two"]


def test_tables_of_earlier_crawls_keep_their_place() -> None:
    assert found({"one/d=1/f": A}) == {"": (("partition_0", "d"), [("one", "1")])}
    assert found({"one/d=1/f": A}, known=[("one",), ("two",)]) == {"one": (("d",), [("1",)])}
    assert list(found({"one/d=1/f": A, "three/d=1/f": A}, known=[("one",)])) == ["one", "three"]


@pytest.mark.parametrize(
    ("root", "taken", "name"),
    [
        ((), (), "pre_my_bucket"),
        (("Sales Data",), (), "pre_sales_data"),
        (("x", "year=2017"), (), "pre_year_2017"),
        (("x.csv",), (), "pre_x_csv"),
        (("n" * 200,), (), "pre_" + "n" * 124),
        (("a",), ("pre_a",), "pre_a_" + hashlib.md5(b"my-bucket/a").hexdigest()),
    ],
)
def test_names_of_tables(root: tuple[str, ...], taken: tuple[str, ...], name: str) -> None:
    table = grouping.Table(root, ())
    found = grouping.table_name("Pre_", table, "my-bucket", (), taken)
    assert found == name
    assert len(found) <= 128
