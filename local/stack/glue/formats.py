"""Classifies an object and reads its schema, in the order of the built-in classifiers of AWS: Parquet, JSON, CSV.

Sources: Glue developer guide, "Built-in classifiers", for delimiters, headers and the least number of columns and
rows. The other classifiers (Avro, ORC, XML, logs …) are not here: such a file is `UNKNOWN`.
"""

from __future__ import annotations

import bz2
import csv
import io
import tempfile
import zlib
from dataclasses import dataclass, field
from typing import Any

from . import columns

SAMPLE = 1 << 20
"""Bytes of a text file from which its schema is inferred. A Parquet file is read as a whole."""

DELIMITERS = (",", "|", "\t", ";", "\x01")
HEADER_LENGTH = 150
"""Characters; longer texts are not column names."""

UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Content:
    """The classification of an object."""

    classification: str
    compression: str = "none"
    columns: dict[str, Any] = field(default_factory=dict)
    records: int = 0
    names: tuple[str, ...] = ()
    """The names of the columns in the file, in their own case."""
    dropped: tuple[str, ...] = ()
    """Names that differ from another one in case only."""
    delimiter: str = ""
    header: bool = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """What all files of a table have in common."""
        return self.classification, self.compression, self.delimiter, self.header


def classify(body: bytes, size: int) -> Content:
    """Classifies an object of `size` bytes that starts with `body`."""
    if body[:4] == b"PAR1" == body[-4:] and len(body) == size:
        return _parquet(body)
    try:
        compression, data = _decompressed(body)
        text = _text(data)
    except (UnicodeDecodeError, zlib.error, OSError):
        return Content(UNKNOWN)
    scale = size / len(body) if body else 1
    cut = len(body) < size or len(data) >= SAMPLE
    return _json(text, compression, scale) or _csv(text, compression, scale, cut) or Content(UNKNOWN, compression)


def _decompressed(body: bytes) -> tuple[str, bytes]:
    """The compression, and at most `SAMPLE` bytes."""
    if body[:2] == b"\x1f\x8b":
        return "gzip", zlib.decompressobj(wbits=31).decompress(body, SAMPLE)
    if body[:3] == b"BZh":
        return "bzip2", bz2.BZ2Decompressor().decompress(body, SAMPLE)
    return "none", body


def _text(data: bytes) -> str:
    """The text in UTF-8, without a character that is cut at the end. Raises `UnicodeDecodeError`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        if len(data) - failure.start >= 4:
            raise
        return data[: failure.start].decode("utf-8-sig")


def _json(text: str, compression: str, scale: float) -> Content | None:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    documents = list(columns.json_documents(text))
    if not documents:
        return None
    if not all(isinstance(document, dict) for document in documents):
        # # A document that is an array is one column.
        documents = [{"array": document} for document in documents]
    found = columns.union({name: columns.of_json(value) for name, value in document.items()} for document in documents)
    types, dropped = columns.named(found.items())
    return Content("json", compression, types, round(len(documents) * scale), tuple(found), tuple(dropped))


def _csv(text: str, compression: str, scale: float, cut: bool) -> Content | None:
    if "\0" in text:
        return None
    for delimiter in DELIMITERS:
        try:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
        except csv.Error:  # a field of more than 128 KiB
            continue
        rows = rows[:-1] if cut and len(rows) > 1 else rows
        widths = {len(row) for row in rows}
        if len(widths) == 1 and max(widths) >= 2 and len(rows) >= 2:
            return _csv_rows(rows, compression, scale, delimiter)
    return None


def _csv_rows(rows: list[list[str]], compression: str, scale: float, delimiter: str) -> Content:
    header = _is_header(rows[0]) and _differs(rows[1:])
    data = rows[1:] if header else rows
    names = [cell.strip() or f"col{index}" for index, cell in enumerate(rows[0])] if header else []
    names = names or [f"col{index}" for index in range(len(rows[0]))]
    kinds = [columns.merged_types(columns.of_text(row[index]) for row in data) for index in range(len(names))]
    types, dropped = columns.named(zip(names, kinds, strict=True))
    records = round(len(data) * scale)
    return Content("csv", compression, types, records, tuple(names), tuple(dropped), delimiter, header)


def _is_header(row: list[str]) -> bool:
    first, last = row[:-1], row[-1]
    strings = all(columns.of_text(cell) == "string" for cell in first) and columns.of_text(last) in ("string", None)
    return strings and all(len(cell) < HEADER_LENGTH for cell in first)


def _differs(data: list[list[str]]) -> bool:
    """A header needs a row with a value that is not a string."""
    return any(columns.of_text(cell) not in ("string", None) for row in data for cell in row)


_SIMPLE = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "integer": "int",
    "bigint": "bigint",
    "utinyint": "smallint",
    "usmallint": "int",
    "uinteger": "bigint",
    "ubigint": "bigint",
    "float": "float",
    "double": "double",
    "varchar": "string",
    "uuid": "string",
    "blob": "binary",
    "date": "date",
    "time": "string",
}


def _parquet(body: bytes) -> Content:
    import duckdb

    with tempfile.NamedTemporaryFile(suffix=".parquet") as file, duckdb.connect() as connection:
        file.write(body)
        file.flush()
        try:
            relation = connection.read_parquet(file.name)
            found = list(zip(relation.columns, (_hive(kind) for kind in relation.types), strict=True))
            rows = connection.execute("SELECT num_rows FROM parquet_file_metadata(?)", [file.name]).fetchone()
        except duckdb.Error:
            return Content(UNKNOWN)
    types, dropped = columns.named(found)
    return Content("parquet", "none", types, rows[0], tuple(name for name, _ in found), tuple(dropped))


def _hive(kind: Any) -> Any:
    """A type of DuckDB in the notation of Hive."""
    name = kind.id
    if name == "struct":
        return columns.Struct(tuple((field_name, _hive(child)) for field_name, child in kind.children))
    if name == "list":
        return [_hive(kind.children[0][1])]
    if name == "map":
        key, value = (columns.text_of(_hive(child)) for _, child in kind.children)
        return f"map<{key},{value}>"
    if name == "decimal":
        precision, scale = (value for _, value in kind.children)
        return f"decimal({precision},{scale})"
    return "timestamp" if name.startswith("timestamp") else _SIMPLE.get(name, "string")
