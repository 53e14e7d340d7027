//! Reads flattened events: the members of the event are the fields of the row, as Debezium's `ExtractNewRecordState` and
//! `ExtractNewDocumentState` write them.
//!
//! Such an event has its operation, its table, its time and its place in the log only if the connector adds them as fields (the option
//! `add.fields`): `__op`, `__table`, `__source_ts_ms`, `__lsn` … With `delete.tombstone.handling.mode: rewrite` (or the older
//! `delete.handling.mode: rewrite`) a deleted row has the member `__deleted: "true"`, and any other row `"false"`.

use std::borrow::Cow;

use crate::{
    debezium::{self, key_object},
    event::{RowChange, Wrapping, incomplete, not_an_event},
    json::RawJson,
    operation::Operation,
    origin::Origin,
    position,
    refusal::{Refusal, RefusalKind},
    value::Form,
};

/// The default of the option `add.fields.prefix`.
const PREFIX: &str = "__";
/// The member that says whether the row was deleted. The option `add.fields.prefix` does not change its name.
const DELETED: &str = "__deleted";
/// Fields that `add.fields` can add, besides those of `source_` and `transaction_`. A field of another name is a field of the row, such as
/// the `__v` of Mongoose.
const ADDED: [&str; 56] = [
    "op",
    "ts_ms",
    "ts_us",
    "ts_ns",
    "id",
    "total_order",
    "data_collection_order",
    "version",
    "connector",
    "name",
    "db",
    "schema",
    "table",
    "collection",
    "snapshot",
    "sequence",
    "lsn",
    "txId",
    "xmin",
    "origin",
    "file",
    "pos",
    "row",
    "server_id",
    "gtid",
    "thread",
    "query",
    "commit_lsn",
    "change_lsn",
    "event_serial_no",
    "scn",
    "commit_scn",
    "lcr_position",
    "rs_id",
    "ssn",
    "redo_thread",
    "user_name",
    "redo_sql",
    "row_id",
    "start_scn",
    "start_ts_ms",
    "commit_ts_ms",
    "ord",
    "h",
    "tord",
    "stxnid",
    "lsid",
    "txnNumber",
    "wallTime",
    "keyspace",
    "shard",
    "vgtid",
    "server_transaction_id",
    "mod_number",
    "ts_hlc",
    "commit_ts",
];
/// Fields that name the table.
const TABLES: [&str; 4] = ["table", "source_table", "collection", "source_collection"];

/// What a flattened event has beside the fields of the row.
#[derive(Debug, Clone)]
pub(crate) struct Flattened<'a> {
    /// The option `add.fields.prefix`.
    prefix: Cow<'a, str>,
    lacks_deletes: bool,
}

impl Flattened<'_> {
    /// Whether a field was added by the connector, and is not a field of the row.
    pub(crate) fn is_added(&self, field: &str) -> bool {
        is_added(&self.prefix, field)
    }

    /// Whether the connector sends a delete only as a tombstone, which names neither its table nor its time.
    pub(crate) const fn lacks_deletes(&self) -> bool {
        self.lacks_deletes
    }
}

fn is_added(prefix: &str, field: &str) -> bool {
    let is_known =
        |name: &str| name.starts_with("source_") || name.starts_with("transaction_") || ADDED.contains(&name);
    field == DELETED || field.strip_prefix(prefix).is_some_and(is_known)
}

/// Reads an event. `raw` has the member `__op` or `__deleted`.
pub(crate) fn read<'a>(
    raw: RawJson<'a>,
    schema: Option<RawJson<'a>>,
    key: Option<&'a [u8]>,
) -> Result<RowChange<'a>, Refusal> {
    let fields: Vec<_> = raw.members().collect();
    let prefix = prefix(&fields).map_or(Cow::Borrowed(PREFIX), Cow::Owned);
    let (mut op, mut ts_ms, mut deleted) = (None, None, None);
    let mut origin = Origin::default();
    for (name, member) in &fields {
        if name == DELETED {
            deleted = member.some();
            continue;
        }
        let Some(added) = name.strip_prefix(&*prefix) else { continue };
        match (added, added.strip_prefix("source_")) {
            ("op", _) => op = member.some(),
            ("ts_ms", _) => ts_ms = member.i64(),
            // The times of Debezium, not of the source.
            ("ts_us" | "ts_ns", _) => {}
            (_, Some(member_of_source)) => origin.take(member_of_source, *member),
            (name, None) => origin.take(name, *member),
        }
    }
    let operation = operation(&prefix, op, deleted)?;
    let lacks_deletes = deleted.is_none() && operation != Operation::Delete;
    let is_mongodb = origin.collection.is_some() || origin.connector.as_deref() == Some("mongodb");
    let connector = match origin.connector.clone() {
        _ if is_mongodb => Cow::Borrowed("mongodb"),
        Some(connector) => connector,
        None => Cow::Borrowed(position::connector_of(&origin.log)),
    };
    // Without a place in the log, the source time tells a change from an equal one, and that does not change when the event is sent again.
    let ts_ms = ts_ms.filter(|_| position::is_complete(&connector, &origin.log));
    let changed_at = origin.changed_at(ts_ms);
    let has_table = origin.collection.is_some() || origin.table.is_some();
    let missing = [("table", !has_table), ("source_ts_ms", changed_at.is_none())];
    let missing: Vec<_> =
        missing.iter().filter(|(_, is_missing)| *is_missing).map(|(name, _)| format!("`{prefix}{name}`")).collect();
    let lacks = || {
        incomplete(format!(
            "a flattened row without a valid {}: set the option `add.fields` of ExtractNewRecordState to \
             op,table,db,schema,name,source.ts_ms and the position in the log (docs/change-data.md)",
            missing.join(" and ")
        ))
    };
    let changed_at = changed_at.filter(|_| has_table).ok_or_else(lacks)?;
    let key = key.and_then(key_object).and_then(|key| key_of(key, is_mongodb));
    let position = {
        let row = fields.iter().filter(|(name, _)| !is_added(&prefix, name));
        let row = row.flat_map(|(name, member)| [Cow::Borrowed(&**name), Cow::Borrowed(member.get())]);
        let parts = [Cow::Borrowed(operation.as_str())].into_iter().chain(row).chain(key.as_deref().map(Cow::Borrowed));
        let parts = parts.chain(origin.names().map(Cow::Borrowed)).chain(origin.log.identifying(&connector));
        position::of_flattened(&connector, &origin.log, changed_at)?.position(parts)
    };
    let identity = debezium::identity(origin, is_mongodb).ok_or_else(lacks)?;
    let row = Some(Cow::Borrowed(raw.get()));
    let (before, after) = match operation {
        Operation::Delete => (row, None),
        Operation::Create | Operation::Read | Operation::Update => (None, row),
        Operation::Truncate => (None, None),
    };
    Ok(RowChange {
        identity,
        operation,
        changed_at,
        connector,
        position,
        before,
        after,
        key,
        partial: None,
        schema,
        // The values of a flattened document of MongoDB are plain JSON too.
        form: Form::Json,
        wrapping: Wrapping::Flattened(Flattened { prefix, lacks_deletes }),
    })
}

/// The prefix of the added fields, if it is not the default: the text before `op` and before the field that names the table.
fn prefix(fields: &[(Cow<'_, str>, RawJson<'_>)]) -> Option<String> {
    let has = |prefix: &str, name: &str| {
        fields.iter().any(|(field, _)| field.strip_prefix(prefix).is_some_and(|field| field == name))
    };
    let names_table = |prefix: &str| TABLES.iter().any(|name| has(prefix, name));
    if names_table(PREFIX) {
        return None;
    }
    let of_op = fields.iter().filter_map(|(field, _)| field.strip_suffix("op"));
    // Without a prefix, the added fields cannot be told from the fields of the row.
    of_op.filter(|prefix| !prefix.is_empty()).find(|prefix| names_table(prefix)).map(ToOwned::to_owned)
}

/// The operation. A row that was not deleted is an update if the event does not say more: it is the whole row.
fn operation(prefix: &str, op: Option<RawJson<'_>>, deleted: Option<RawJson<'_>>) -> Result<Operation, Refusal> {
    let name = format!("{prefix}op");
    let deleted = match deleted.map(RawJson::get) {
        None => None,
        Some("true" | "\"true\"") => Some(true),
        Some("false" | "\"false\"") => Some(false),
        Some(_) => return Err(not_an_event(format!("`{DELETED}` is neither true nor false"))),
    };
    let op = match op {
        None => None,
        Some(op) => Some(debezium::operation(&name, op)?.ok_or_else(|| {
            Refusal::new(RefusalKind::UnknownOperation, format!("`{name}` is `m`: it must be c, u, d, r or t"))
        })?),
    };
    match (op, deleted) {
        (Some(op), Some(deleted)) if (op == Operation::Delete) != deleted => Err(Refusal::new(
            RefusalKind::UnknownOperation,
            format!("`{name}` says that the row was {}, and `{DELETED}` is {deleted}", past(op)),
        )),
        (Some(op), _) => Ok(op),
        (None, Some(true)) => Ok(Operation::Delete),
        (None, Some(false)) => Ok(Operation::Update),
        (None, None) => Err(incomplete(format!(
            "a flattened row whose `{name}` and `{DELETED}` are null, so that its operation is not known: add `op` to the option \
             `add.fields` of ExtractNewRecordState"
        ))),
    }
}

const fn past(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "created",
        Operation::Update => "updated",
        Operation::Delete => "deleted",
        Operation::Read => "read",
        Operation::Truncate => "truncated",
    }
}

/// The row's key. The record's key of a document is `id`, and the document's key is `_id`.
fn key_of(key: RawJson<'_>, is_mongodb: bool) -> Option<Cow<'_, str>> {
    if is_mongodb {
        Some(Cow::Owned(format!("{{\"_id\":{}}}", key.member("id")?.get())))
    } else {
        Some(Cow::Borrowed(key.get()))
    }
}
