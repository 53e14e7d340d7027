//! `ListDatabases`, `ListSchemas`, `ListTables`, `DescribeTable`, and the metadata of result columns.

use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Column, Error, Row};

use crate::connection::{Connector, describe};
use crate::error::ApiError;
use crate::requests::Catalog;
use crate::results::{column_metadata, redshift_type};
use crate::validate;

/// Items per page without `MaxResults`. AWS does not document the default; 1,000 is the documented maximum.
const DEFAULT_PAGE: usize = 1000;

const DATABASES: &str = "select datname::text from pg_database where datallowconn and not datistemplate order by 1";
const SCHEMAS: &str = "select nspname::text from pg_namespace where nspname !~ '^pg_(toast|temp)' \
    and ($1 = '' or nspname like $1) order by 1";
const TABLES: &str = "select c.relname::text, n.nspname::text, c.relkind::text, c.relpersistence::text \
    from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_toast' \
    and ($1 = '' or n.nspname like $1) and ($2 = '' or c.relname like $2) order by 2, 1";
const COLUMNS: &str = "select a.attname::text, t.typname::text, a.atttypmod, a.attnotnull, n.nspname::text, \
    c.relname::text, pg_get_expr(d.adbin, d.adrelid), \
    case t.typtype when 'd' then t.typbasetype else t.oid end \
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace \
    join pg_type t on t.oid = a.atttypid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum \
    where a.attnum > 0 and not a.attisdropped and c.relkind in ('r', 'p', 'v', 'm', 'f') \
    and ($1 = '' or n.nspname = $1) and ($2 = '' or c.relname = $2) order by n.nspname, c.relname, a.attnum";

/// The catalog operations of the service model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CatalogOperation {
    ListDatabases,
    ListSchemas,
    ListTables,
    DescribeTable,
}

/// Executes a catalog operation and returns the response body.
pub(crate) async fn execute(
    connector: &Connector,
    operation: CatalogOperation,
    request: &Catalog,
) -> Result<Value, ApiError> {
    use CatalogOperation::{DescribeTable, ListDatabases, ListSchemas, ListTables};
    let takes: &[&str] = match operation {
        ListDatabases => &[],
        ListSchemas => &["ConnectedDatabase", "SchemaPattern"],
        ListTables => &["ConnectedDatabase", "SchemaPattern", "TablePattern"],
        DescribeTable => &["ConnectedDatabase", "Schema", "Table"],
    };
    validate::catalog(request, takes)?;
    let database = request.database.as_deref().unwrap_or_default();
    let connection = connector.connect(database).await.map_err(ApiError::DatabaseConnection)?;
    let client = &connection.client;
    let given = |member: &Option<String>| member.clone().unwrap_or_default();
    let (member, items) = match operation {
        ListDatabases => ("Databases", query(client, DATABASES, &[], name).await?),
        ListSchemas => ("Schemas", query(client, SCHEMAS, &[given(&request.schema_pattern)], name).await?),
        ListTables => {
            let patterns = [given(&request.schema_pattern), given(&request.table_pattern)];
            ("Tables", query(client, TABLES, &patterns, table).await?)
        }
        DescribeTable => {
            ("ColumnList", query(client, COLUMNS, &[given(&request.schema), given(&request.table)], column).await?)
        }
    };
    let mut body = page(member, items, request.next_token.as_deref(), request.max_results)?;
    if operation == DescribeTable
        && let Some(table) = &request.table
    {
        body.insert("TableName".into(), json!(table));
    }
    Ok(Value::Object(body))
}

async fn query(
    client: &Client,
    sql: &str,
    parameters: &[String],
    shape: fn(&Row) -> Value,
) -> Result<Vec<Value>, ApiError> {
    let typed: Vec<_> =
        parameters.iter().map(|p| (p as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT)).collect();
    let rows = client.query_typed(sql, &typed).await;
    let rows = rows.map_err(|error| ApiError::DatabaseConnection(describe(&error, false)))?;
    Ok(rows.iter().map(shape).collect())
}

fn name(row: &Row) -> Value {
    json!(row.get::<_, String>(0))
}

fn table(row: &Row) -> Value {
    let (schema, kind, persistence): (String, String, String) = (row.get(1), row.get(2), row.get(3));
    let system = schema.starts_with("pg_") || schema == "information_schema";
    let ty = match (kind.as_str(), persistence.as_str()) {
        ("v" | "m", _) if system => "SYSTEM VIEW",
        ("v" | "m", _) => "VIEW",
        (_, "t") => "LOCAL TEMPORARY",
        _ if system => "SYSTEM TABLE",
        _ => "TABLE",
    };
    json!({ "name": row.get::<_, String>(0), "schema": schema, "type": ty })
}

fn column(row: &Row) -> Value {
    let name: String = row.get(0);
    let ty = match row.get::<_, String>(1).as_str() {
        "super" => Type::JSONB,
        _ => Type::from_oid(row.get(7)).unwrap_or(Type::VARCHAR),
    };
    let modifier: i32 = row.get(2);
    let mut metadata = column_metadata(&name, &ty, modifier);
    metadata["nullable"] = json!(i32::from(!row.get::<_, bool>(3)));
    metadata["schemaName"] = json!(row.get::<_, String>(4));
    metadata["tableName"] = json!(row.get::<_, String>(5));
    metadata["length"] = json!(redshift_type(&ty, modifier).1);
    if let Some(default) = row.get::<_, Option<String>>(6) {
        metadata["columnDefault"] = json!(default);
    }
    metadata
}

/// Inserts one page of `items` into the response; `NextToken` is the position of the next page.
fn page(
    member: &str,
    items: Vec<Value>,
    token: Option<&str>,
    max_results: Option<i64>,
) -> Result<Map<String, Value>, ApiError> {
    let start: usize = match token {
        None | Some("") => 0,
        Some(token) => token.parse().map_err(|_| ApiError::Validation("NextToken is not valid.".into()))?,
    };
    let size = max_results.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(DEFAULT_PAGE);
    let total = items.len();
    let rows: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let end = start + rows.len();
    let mut body = Map::new();
    body.insert(member.into(), Value::Array(rows));
    if end < total {
        body.insert("NextToken".into(), json!(end.to_string()));
    }
    Ok(body)
}

const OF_RESULT: &str = "select a.attrelid, a.attnum, a.attnotnull, n.nspname::text, c.relname::text \
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace \
    where a.attrelid = any($1)";

/// `ColumnMetadata` of a result. A column that is read directly from a table has the name of that table.
pub(crate) async fn result_columns(client: &Client, columns: &[Column]) -> Result<Vec<Value>, Error> {
    let tables: Vec<u32> = columns.iter().filter_map(Column::table_oid).collect();
    let origins = if tables.is_empty() {
        Vec::new()
    } else {
        client.query_typed(OF_RESULT, &[(&tables, Type::OID_ARRAY)]).await?
    };
    let metadata = columns.iter().map(|column| {
        let mut metadata = column_metadata(column.name(), column.type_(), column.type_modifier());
        let origin = origins.iter().find(|row| {
            Some(row.get::<_, u32>(0)) == column.table_oid() && Some(row.get::<_, i16>(1)) == column.column_id()
        });
        if let Some(row) = origin {
            metadata["nullable"] = json!(i32::from(!row.get::<_, bool>(2)));
            metadata["schemaName"] = json!(row.get::<_, String>(3));
            metadata["tableName"] = json!(row.get::<_, String>(4));
        }
        metadata
    });
    Ok(metadata.collect())
}
