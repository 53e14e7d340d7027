//! The fields of a row's image, and the column of each field.

use std::{borrow::Cow, collections::HashMap};

use crate::{compiled::Compiled, json::RawJson};

/// An image of a row. If a field is written more than once, the last one counts.
pub(crate) struct Image<'a> {
    pub(crate) fields: Vec<(Cow<'a, str>, RawJson<'a>)>,
    /// For each field, the index of its column.
    columns: Vec<Option<usize>>,
    /// For each field, whether it is written again later. Empty if no field is written twice.
    overwritten: Vec<bool>,
}

impl<'a> Image<'a> {
    /// The fields in their order, each with the index of its column. A field that is written again later has [`Place::Overwritten`].
    pub(crate) fn places(&self) -> impl Iterator<Item = (&str, RawJson<'a>, Place)> {
        self.fields.iter().zip(&self.columns).enumerate().map(|(index, ((name, raw), column))| {
            let is_overwritten = self.overwritten.get(index).copied().unwrap_or(false);
            (&**name, *raw, if is_overwritten { Place::Overwritten } else { Place::Column(*column) })
        })
    }

    pub(crate) fn get(&self, field: &str) -> Option<RawJson<'a>> {
        self.fields.iter().rev().find(|(name, _)| name == field).map(|(_, raw)| *raw)
    }
}

/// Where the value of a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the column with this index; `None` for a field without a column.
    Column(Option<usize>),
    /// Nowhere: the field is written again later.
    Overwritten,
}

/// Most names that are kept, so that a source with ever new fields does not use more and more memory.
const MOST: usize = 512;
/// Number of fields for which an image has room from the beginning.
const ROOM: usize = 32;

/// The names of the fields of earlier images, without duplicates. A producer writes the same fields in the same order in every event, so a
/// name is compared with the next one, which takes less time than finding it in a map. If all names have this order, no name occurs twice.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Known>);

/// The name of a field of an earlier image.
#[derive(Debug)]
struct Known {
    name: Box<str>,
    /// The key and its colon as JSON: `"name":`. `None` for a name that can be written in several ways.
    key: Option<Box<str>>,
    column: Option<usize>,
}

impl Known {
    fn new(name: &str, column: Option<usize>) -> Self {
        let is_plain = !name.contains(['"', '\\']);
        Self { name: name.into(), key: is_plain.then(|| format!("\"{name}\":").into()), column }
    }
}

impl Names {
    /// Reads an image from valid JSON.
    pub(crate) fn image<'a>(&mut self, compiled: &Compiled, text: &'a str) -> Image<'a> {
        let (fields, columns) = (Vec::with_capacity(ROOM), Vec::with_capacity(ROOM));
        let mut image = Image { fields, columns, overwritten: Vec::new() };
        let mut next = 0;
        let mut in_order = true;
        let mut members = RawJson::known(text).members();
        loop {
            let expected = self.0.get(next).filter(|_| in_order);
            if let Some(Known { key: Some(key), column, .. }) = expected
                && let Some(member) = members.next_expected(key)
            {
                next += 1;
                image.columns.push(*column);
                image.fields.push(member);
                continue;
            }
            let Some((name, raw)) = members.next() else { break };
            let known = self.0.get(next..).unwrap_or_default();
            match known.iter().position(|known| *known.name == *name).filter(|_| in_order) {
                Some(passed) => {
                    next += passed + 1;
                    image.columns.push(self.0[next - 1].column);
                }
                None => {
                    in_order = false;
                    image.columns.push(compiled.column_of(&name));
                }
            }
            image.fields.push((name, raw));
        }
        if !in_order {
            image.overwritten = overwritten(&image.fields);
            self.learn(&image);
        }
        image
    }

    /// Adds the names of an image in their order. If the image has another order than the images before, only its names are kept.
    #[cold]
    fn learn(&mut self, image: &Image<'_>) {
        if image.fields.len() > MOST {
            return;
        }
        let mut next = 0;
        for (name, _, place) in image.places() {
            let Place::Column(column) = place else { continue };
            match self.0.iter().position(|known| *known.name == *name) {
                Some(known) if known >= next => next = known + 1,
                None if self.0.len() < MOST => {
                    self.0.insert(next, Known::new(name, column));
                    next += 1;
                }
                Some(_) | None => {
                    let places = image.places().filter_map(|(name, _, place)| match place {
                        Place::Column(column) => Some(Known::new(name, column)),
                        Place::Overwritten => None,
                    });
                    self.0 = places.collect();
                    return;
                }
            }
        }
    }
}

/// For each field, whether it is written again later. Empty if no field is.
fn overwritten(fields: &[(Cow<'_, str>, RawJson<'_>)]) -> Vec<bool> {
    let mut overwritten = Vec::new();
    let mut last = HashMap::with_capacity(fields.len());
    for (index, (name, _)) in fields.iter().enumerate() {
        if let Some(earlier) = last.insert(name.as_ref(), index) {
            overwritten.resize(fields.len(), false);
            overwritten[earlier] = true;
        }
    }
    overwritten
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Names, Place};
    use crate::{compiled::Compiled, contract};

    const CONTRACT: &str = "
contract: t
source: { format: debezium, table: public.t }
target: { schema: s, table: t }
key: [a]
columns:
  - { name: a, type: bigint }
  - { name: b, type: bigint }
  - { name: c, type: bigint }
";

    proptest! {
        /// The places of the fields do not depend on the images before.
        #[test]
        fn a_field_has_its_place_in_any_order(
            images in prop::collection::vec(prop::collection::vec("[a-e]|a\"?:?1?,?\"?b|\\\\?n", 0..7), 1..6),
        ) {
            let compiled = Compiled::new(contract::read("t.yaml", CONTRACT).unwrap());
            let mut names = Names::default();
            for fields in images {
                let members: Vec<_> = fields.iter().enumerate().map(|(at, name)| format!("{}:{at}", json!(name))).collect();
                let text = format!("{{{}}}", members.join(","));
                let image = names.image(&compiled, &text);
                let places: Vec<_> = image.places().map(|(name, raw, place)| (name.to_owned(), raw.get().to_owned(), place)).collect();
                let wanted: Vec<_> = fields.iter().enumerate().map(|(at, name)| {
                    let is_overwritten = fields[at + 1..].contains(name);
                    let column = Place::Column(["a", "b", "c"].iter().position(|column| column == name));
                    (name.clone(), at.to_string(), if is_overwritten { Place::Overwritten } else { column })
                }).collect();
                prop_assert_eq!(places, wanted);
            }
        }
    }
}
