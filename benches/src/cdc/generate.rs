//! Generates the events of the benchmark: changes of a shop's `orders` table as Debezium's PostgreSQL connector writes
//! them (`REPLICA IDENTITY FULL`, `time.precision.mode=adaptive`), with and without the schema envelope, and the same
//! changes as other sources write them. The generator is seeded, so the files are the same on every machine.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use fastrand::Rng;

use crate::schema;

/// The format of the events. The rows are the same in all formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Without schema, decimals as text (`schemas.enable=false`, `decimal.handling.mode=string`).
    Plain,
    /// With the default settings of Kafka Connect and Debezium: each event in the envelope of its schema, which lists
    /// the columns of both images; decimals as base64 of their bytes.
    Enveloped,
    /// Debezium's MySQL connector, otherwise like `Plain`.
    Mysql,
    /// Debezium's MongoDB connector with pre-images: documents are strings of extended JSON.
    Mongodb,
    /// DynamoDB's Kinesis destination: typed JSON.
    Dynamodb,
}

/// Statistics of a generated file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// Number of lines.
    pub(crate) lines: u64,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// Number of updates; most columns of `before` and `after` are equal.
    pub(crate) updates: u64,
    /// Number of deletes; their `after` is null.
    pub(crate) deletes: u64,
    /// Number of `null` lines, which follow deletes in a compacted topic.
    pub(crate) tombstones: u64,
    /// Number of lines that are not valid change events.
    pub(crate) malformed: u64,
    /// Number of events with a column that is not in the contract.
    pub(crate) drifted: u64,
}

const STATUS: [&str; 6] = ["placed", "paid", "packed", "shipped", "delivered", "returned"];
const CURRENCY: [&str; 4] = ["EUR", "USD", "GBP", "SEK"];
const STREETS: [&str; 8] = [
    "Lindenstraße",
    "Kungsgatan",
    "Rue de la Paix",
    "High Street",
    "Via Roma",
    "Calle de Alcalá",
    "Hauptplatz",
    "Elm Avenue",
];
const TOWNS: [&str; 8] = ["Berlin", "Göteborg", "Paris", "London", "Torino", "Madrid", "Wien", "Denver"];
/// Notes of customers as JSON text: most are plain, some contain characters that need escapes in CSV or JSON.
const NOTES: [&str; 10] = [
    "leave at the door",
    "call before delivery",
    "second floor, left",
    "gift wrapping please",
    "fragile",
    "ring twice, the dog is friendly",
    r#"say \"happy birthday\" at the door"#,
    r"back yard\nthen the green gate",
    "für Zoë 🎁",
    r"C:\\labels\\order.pdf, please",
];

/// A row of the `orders` table.
#[derive(Clone)]
struct Order {
    id: u64,
    customer_id: u32,
    status: usize,
    currency: &'static str,
    /// In hundredths.
    total: u32,
    tax: u32,
    discount: i32,
    items: u8,
    weight: u32,
    gift: bool,
    email: String,
    address: String,
    note: Option<&'static str>,
    coupon: Option<u32>,
    ordered_on: u32,
    created_at: u64,
    updated_at: u64,
    channel: Option<&'static str>,
}

impl Order {
    fn new(rng: &mut Rng, id: u64, now: u64) -> Self {
        let customer_id = rng.u32(1..400_000);
        let total = rng.u32(500..400_000);
        Self {
            id,
            customer_id,
            status: 0,
            currency: CURRENCY[rng.usize(..CURRENCY.len())],
            total,
            tax: total / 5,
            discount: if rng.u8(..4) == 0 { -rng.i32(1..2_000) } else { 0 },
            items: rng.u8(1..12),
            weight: rng.u32(50..30_000),
            gift: rng.u8(..10) == 0,
            email: format!("customer.{customer_id}@example.com"),
            address: format!(
                "{} {}, {:05} {}",
                STREETS[rng.usize(..STREETS.len())],
                rng.u8(1..200),
                rng.u32(1_000..99_999),
                TOWNS[rng.usize(..TOWNS.len())]
            ),
            note: (rng.u8(..10) < 4).then(|| NOTES[rng.usize(..NOTES.len())]),
            coupon: (rng.u8(..5) == 0).then(|| rng.u32(1_000..9_999)),
            ordered_on: u32::try_from(now / 86_400_000_000).unwrap_or_default(),
            created_at: now,
            updated_at: now,
            channel: None,
        }
    }

    /// Applies an update, which changes a few columns.
    fn touch(&mut self, rng: &mut Rng, now: u64) {
        self.status = (self.status + 1) % STATUS.len();
        self.updated_at = now;
        match rng.u8(..8) {
            0 => self.note = Some(NOTES[rng.usize(..NOTES.len())]),
            1 => self.total += rng.u32(1..5_000),
            2 => self.discount -= rng.i32(1..500),
            _ => {}
        }
    }

    /// Writes an image of the row.
    fn write(&self, out: &mut String, form: Form) -> std::fmt::Result {
        match form {
            Form::Plain | Form::Enveloped | Form::Mysql => self.write_columns(out, form),
            Form::Mongodb => {
                let mut document = String::with_capacity(1024);
                self.write_document(&mut document)?;
                out.push('"');
                out.push_str(&document.replace('\\', r"\\").replace('"', r#"\""#));
                out.push('"');
                Ok(())
            }
            Form::Dynamodb => self.write_item(out),
        }
    }

    fn write_columns(&self, out: &mut String, form: Form) -> std::fmt::Result {
        write!(
            out,
            r#"{{"id":{},"customer_id":{},"status":"{}","currency":"{}","total":"{}","tax":"{}","discount":"{}","items":{},"weight":{}.{},"gift":{},"email":"{}","address":"{}","note":"#,
            self.id,
            self.customer_id,
            STATUS[self.status],
            self.currency,
            decimal(self.total.into(), form),
            decimal(self.tax.into(), form),
            decimal(self.discount.into(), form),
            self.items,
            self.weight / 1000,
            self.weight % 1000 / 100,
            self.gift,
            self.email,
            self.address,
        )?;
        match self.note {
            Some(note) => write!(out, r#""{note}""#)?,
            None => out.push_str("null"),
        }
        match self.coupon {
            Some(coupon) => write!(out, r#","coupon":"SAVE-{coupon}""#)?,
            None => out.push_str(r#","coupon":null"#),
        }
        write!(
            out,
            r#","ordered_on":{},"created_at":{},"updated_at":{}"#,
            self.ordered_on, self.created_at, self.updated_at
        )?;
        match (self.channel, form) {
            (Some(channel), _) => write!(out, r#","channel":"{channel}""#)?,
            (None, Form::Enveloped) => out.push_str(r#","channel":null"#),
            (None, _) => {}
        }
        out.push('}');
        Ok(())
    }

    /// Writes a document of MongoDB as extended JSON. Times are counts, as in the tables, so that the rows are equal.
    fn write_document(&self, out: &mut String) -> std::fmt::Result {
        write!(
            out,
            r#"{{"_id": {{"$numberLong": "{}"}},"customer_id": {},"status": "{}","currency": "{}","total": {{"$numberDecimal": "{}"}},"tax": {{"$numberDecimal": "{}"}},"discount": {{"$numberDecimal": "{}"}},"items": {},"weight": {}.{},"gift": {},"email": "{}","address": "{}","#,
            self.id,
            self.customer_id,
            STATUS[self.status],
            self.currency,
            decimal(self.total.into(), Form::Mongodb),
            decimal(self.tax.into(), Form::Mongodb),
            decimal(self.discount.into(), Form::Mongodb),
            self.items,
            self.weight / 1000,
            self.weight % 1000 / 100,
            self.gift,
            self.email,
            self.address,
        )?;
        match self.note {
            Some(note) => write!(out, r#""note": "{note}","#)?,
            None => out.push_str(r#""note": null,"#),
        }
        if let Some(coupon) = self.coupon {
            write!(out, r#""coupon": "SAVE-{coupon}","#)?;
        }
        write!(
            out,
            r#""ordered_on": {},"created_at": {{"$numberLong": "{}"}},"updated_at": {{"$numberLong": "{}"}}"#,
            self.ordered_on, self.created_at, self.updated_at
        )?;
        if let Some(channel) = self.channel {
            write!(out, r#","channel": "{channel}""#)?;
        }
        out.push('}');
        Ok(())
    }

    /// Writes an item of DynamoDB as typed JSON.
    fn write_item(&self, out: &mut String) -> std::fmt::Result {
        write!(
            out,
            r#"{{"id":{{"N":"{}"}},"customer_id":{{"N":"{}"}},"status":{{"S":"{}"}},"currency":{{"S":"{}"}},"total":{{"N":"{}"}},"tax":{{"N":"{}"}},"discount":{{"N":"{}"}},"items":{{"N":"{}"}},"weight":{{"N":"{}.{}"}},"gift":{{"BOOL":{}}},"email":{{"S":"{}"}},"address":{{"S":"{}"}},"#,
            self.id,
            self.customer_id,
            STATUS[self.status],
            self.currency,
            decimal(self.total.into(), Form::Dynamodb),
            decimal(self.tax.into(), Form::Dynamodb),
            decimal(self.discount.into(), Form::Dynamodb),
            self.items,
            self.weight / 1000,
            self.weight % 1000 / 100,
            self.gift,
            self.email,
            self.address,
        )?;
        match self.note {
            Some(note) => write!(out, r#""note":{{"S":"{note}"}},"#)?,
            None => out.push_str(r#""note":{"NULL":true},"#),
        }
        if let Some(coupon) = self.coupon {
            write!(out, r#""coupon":{{"S":"SAVE-{coupon}"}},"#)?;
        }
        write!(
            out,
            r#""ordered_on":{{"N":"{}"}},"created_at":{{"N":"{}"}},"updated_at":{{"N":"{}"}}"#,
            self.ordered_on, self.created_at, self.updated_at
        )?;
        if let Some(channel) = self.channel {
            write!(out, r#","channel":{{"S":"{channel}"}}"#)?;
        }
        out.push('}');
        Ok(())
    }
}

/// A decimal from hundredths.
fn decimal(hundredths: i64, form: Form) -> String {
    match form {
        Form::Plain | Form::Mysql | Form::Mongodb | Form::Dynamodb => {
            let (sign, off) = (if hundredths < 0 { "-" } else { "" }, hundredths.unsigned_abs());
            format!("{sign}{}.{:02}", off / 100, off % 100)
        }
        Form::Enveloped => {
            // As Java's BigInteger: the minimum number of bytes that keeps the sign.
            let bytes = hundredths.to_be_bytes();
            let spare = |pair: &&[u8]| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff]);
            let from = bytes.windows(2).take_while(|pair| spare(pair)).count();
            BASE64.encode(&bytes[from..])
        }
    }
}

/// Writes `events` events to `path`.
///
/// # Errors
/// Returns an error if the file cannot be written.
pub(crate) fn write(path: &Path, events: u64, form: Form) -> Result<Written> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).with_context(|| path.display().to_string())?);
    let mut rng = Rng::with_seed(0x5317_F70E);
    let mut orders: Vec<Order> = Vec::new();
    let mut line = String::with_capacity(16_384);
    let mut written = Written::default();
    // 2026-11-01T00:00:00Z in microseconds, and the first log position.
    let (mut now, mut lsn, mut next) = (1_793_491_200_000_000_u64, 36_283_916_288_u64, 1_u64);
    for event in 0..events {
        now += rng.u64(100..60_000);
        lsn += rng.u64(48..900);
        line.clear();
        let malformed = event % 10_007 == 10_006;
        match rng.u8(..100) {
            roll if roll < 22 || orders.len() < 100 => {
                let order = Order::new(&mut rng, next, now);
                next += 1;
                event_of(&mut line, form, (None, Some(&order)), 'c', now, lsn)?;
                orders.push(order);
            }
            22..=94 => {
                let at = rng.usize(..orders.len());
                let before = orders[at].clone();
                orders[at].touch(&mut rng, now);
                // A column that is not in the contract has a value in 2 % of all events.
                orders[at].channel = (rng.u16(..1000) < 28).then_some("app");
                written.drifted += u64::from(orders[at].channel.is_some());
                event_of(&mut line, form, (Some(&before), Some(&orders[at])), 'u', now, lsn)?;
                orders[at].channel = None;
                written.updates += 1;
            }
            95..=97 => {
                let gone = orders.swap_remove(rng.usize(..orders.len()));
                event_of(&mut line, form, (Some(&gone), None), 'd', now, lsn)?;
                written.deletes += 1;
            }
            _ => {
                line.push_str("null");
                written.tombstones += 1;
            }
        }
        let mut bytes = line.as_bytes().to_vec();
        if malformed {
            damage(&mut rng, &mut bytes);
            written.malformed += 1;
        }
        bytes.push(b'\n');
        file.write_all(&bytes)?;
        written.lines += 1;
        written.bytes += bytes.len() as u64;
    }
    file.flush()?;
    Ok(written)
}

/// Writes an event: the images before and after the change, the operation, its time and its position in the log.
fn event_of(
    line: &mut String,
    form: Form,
    (before, after): (Option<&Order>, Option<&Order>),
    op: char,
    now: u64,
    lsn: u64,
) -> std::fmt::Result {
    let image = |line: &mut String, name: &str, order: Option<&Order>| {
        write!(line, r#""{name}":"#)?;
        match order {
            Some(order) => order.write(line, form),
            None => write!(line, "null"),
        }
    };
    if form == Form::Dynamodb {
        return record_of(line, (before, after), now, lsn);
    }
    if form == Form::Enveloped {
        write!(line, r#"{{"schema":{},"payload":"#, schema::text())?;
    }
    line.push('{');
    image(line, "before", before)?;
    line.push(',');
    image(line, "after", after)?;
    let (milliseconds, seen) = (now / 1000, now + 180_000);
    let start = |connector: &str| {
        format!(
            r#""version":"3.3.1.Final","connector":"{connector}","name":"shop","ts_ms":{milliseconds},"snapshot":"false","db":"shop""#
        )
    };
    match form {
        Form::Plain | Form::Enveloped | Form::Dynamodb => write!(
            line,
            r#","source":{{{},"sequence":"[\"{}\",\"{lsn}\"]","ts_us":{now},"ts_ns":{now}000,"schema":"public","table":"orders","txId":{},"lsn":{lsn},"xmin":null}}"#,
            start("postgresql"),
            lsn - 56,
            lsn / 512,
        )?,
        Form::Mysql => write!(
            line,
            r#","source":{{{},"sequence":null,"ts_us":{now},"ts_ns":{now}000,"table":"orders","server_id":223344,"gtid":null,"file":"mysql-bin.000003","pos":{lsn},"row":0,"thread":7,"query":null}}"#,
            start("mysql"),
        )?,
        Form::Mongodb => write!(
            line,
            r#","source":{{{},"sequence":null,"ts_us":{now},"ts_ns":{now}000,"collection":"orders","ord":{},"lsid":null,"txnNumber":null,"wallTime":{milliseconds}}},"updateDescription":null"#,
            start("mongodb"),
            lsn % 1000 + 1,
        )?,
    }
    write!(line, r#","transaction":null,"op":"{op}","ts_ms":{},"ts_us":{seen},"ts_ns":{seen}417}}"#, seen / 1000)?;
    if form == Form::Enveloped {
        line.push('}');
    }
    Ok(())
}

/// Writes a record of DynamoDB's Kinesis destination.
fn record_of(
    line: &mut String,
    (before, after): (Option<&Order>, Option<&Order>),
    now: u64,
    lsn: u64,
) -> std::fmt::Result {
    let name = match (before, after) {
        (None, _) => "INSERT",
        (Some(_), Some(_)) => "MODIFY",
        (Some(_), None) => "REMOVE",
    };
    let id = after.or(before).map_or(0, |order| order.id);
    write!(
        line,
        r#"{{"awsRegion":"eu-central-1","eventID":"{lsn:08x}-0000-4000-8000-{now:012x}","eventName":"{name}","userIdentity":null,"recordFormat":"application/json","tableName":"orders","dynamodb":{{"ApproximateCreationDateTime":{now},"ApproximateCreationDateTimePrecision":"MICROSECOND","Keys":{{"id":{{"N":"{id}"}}}}"#,
    )?;
    for (name, image) in [("NewImage", after), ("OldImage", before)] {
        if let Some(image) = image {
            write!(line, r#","{name}":"#)?;
            image.write(line, Form::Dynamodb)?;
        }
    }
    write!(line, r#","SizeBytes":{}}},"eventSource":"aws:dynamodb"}}"#, 400 + id % 100)
}

/// Damages an event, as a defective producer or an interrupted transfer would.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    match rng.u8(..4) {
        0 => bytes.truncate(middle.max(1)),
        1 => bytes.insert(middle, b'"'),
        2 => bytes[middle..].fill(0xff),
        _ => bytes.push(b'}'),
    }
}

impl std::fmt::Display for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lines, bytes, updates, deletes, tombstones, malformed, drifted } = self;
        write!(
            f,
            "{lines} lines, {} MB: {updates} updates, {deletes} deletes, {tombstones} tombstones, {malformed} malformed, \
             {drifted} with a column that is not in the contract",
            bytes / 1_000_000
        )
    }
}
