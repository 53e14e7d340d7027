//! Reads the schema in an event's envelope (Kafka Connect's `JsonConverter` with `schemas.enable`).

use std::collections::HashMap;

use crate::{
    json::RawJson,
    logical::{Encoding, Logical},
};

/// The fields of a row, from an event's schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    fields: HashMap<Box<str>, Field>,
    /// The fields in the order of the table's columns.
    order: Vec<Box<str>>,
}

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) logical: Logical,
    /// Kafka Connect's type: `int32`, `string` …
    pub(crate) connect: Box<str>,
    /// Name of the logical type; empty if there is none.
    pub(crate) name: Box<str>,
    /// Parameters of the logical type, or propagated from the source's column.
    pub(crate) length: Option<u32>,
    pub(crate) precision: Option<u32>,
    /// The values of an ENUM or the elements of a SET, separated by commas.
    pub(crate) allowed: Option<Box<str>>,
}

/// Most levels of a schema, so that reading it does not overflow the stack.
const DEEPEST: usize = 32;

impl Schema {
    /// Reads the schema of an envelope, or of a flattened row. It is empty if it does not describe the images.
    pub(crate) fn read(schema: RawJson<'_>, is_flattened: bool) -> Self {
        let fields = schema.member("fields");
        let image = |image: &&str| {
            let mut fields = fields?.elements();
            let of_image =
                |field: &RawJson<'_>| field.member("field").and_then(RawJson::string).as_deref() == Some(*image);
            fields.find(of_image)?.member("fields")
        };
        let row = if is_flattened { fields } else { ["after", "before"].iter().find_map(image) };
        let mut read = Self::default();
        for field in row.into_iter().flat_map(RawJson::elements) {
            let Some(name) = field.member("field").and_then(RawJson::string) else { continue };
            read.order.push(name.as_ref().into());
            read.fields.insert(name.as_ref().into(), Field::read(field));
        }
        read
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// Names of the fields, in the order of the table's columns.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(AsRef::as_ref)
    }
}

impl Field {
    fn read(field: RawJson<'_>) -> Self {
        let text = |name| field.member(name).and_then(RawJson::string).unwrap_or_default();
        let parameter = |name| parameter(field, name).and_then(|number| u32::try_from(number).ok());
        Self {
            logical: logical(field, DEEPEST),
            connect: text("type").as_ref().into(),
            name: text("name").as_ref().into(),
            length: parameter("__debezium.source.column.length").or_else(|| parameter("length")),
            allowed: (|| Some(field.member("parameters")?.member("allowed")?.string()?.as_ref().into()))(),
            precision: parameter("connect.decimal.precision").or_else(|| parameter("__debezium.source.column.length")),
        }
    }
}

fn parameter(field: RawJson<'_>, name: &str) -> Option<i64> {
    field.member("parameters")?.member(name)?.i64()
}

fn logical(field: RawJson<'_>, levels: usize) -> Logical {
    if levels == 0 {
        return Logical::Plain;
    }
    if let Some(name) = field.member("name").and_then(RawJson::string) {
        let argument = parameter(field, "scale").or_else(|| parameter(field, "length"));
        let named = Logical::named(&name, argument.and_then(|argument| i32::try_from(argument).ok()));
        if !named.is_plain() {
            return named;
        }
    }
    let inner = |name| field.member(name).map_or(Logical::Plain, |inner| logical(inner, levels - 1));
    // A container of plain values is plain.
    let container = |inner: Logical, of: fn(Box<Logical>) -> Logical| {
        if inner.is_plain() { Logical::Plain } else { of(Box::new(inner)) }
    };
    match field.member("type").and_then(RawJson::string).as_deref() {
        Some("bytes") => Logical::Bytes(Encoding::Base64),
        Some("array") => container(inner("items"), Logical::Array),
        Some("map") => container(inner("values"), Logical::Map),
        Some("struct") => {
            let members = field.member("fields").into_iter().flat_map(RawJson::elements).filter_map(|member| {
                let name = member.member("field")?.string()?;
                let logical = logical(member, levels - 1);
                (!logical.is_plain()).then(|| (name.as_ref().into(), logical))
            });
            let members: Vec<_> = members.collect();
            if members.is_empty() { Logical::Plain } else { Logical::Struct(members) }
        }
        Some(_) | None => Logical::Plain,
    }
}
