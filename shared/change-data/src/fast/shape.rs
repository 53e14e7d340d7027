//! The shape of an object: its keys in their order, learned from earlier events and compared byte by byte.
//!
//! A producer writes the same keys in the same order in every event. So a key is not parsed but compared with the next expected key.
//! Expected keys that the object lacks are skipped. An object with a new key is left to the full decoder, and the key is learned for the
//! next event.

use wide::u8x32;

use crate::scan::{self, Kind, Span, chunk};

/// Most keys of a shape, so that a source with ever new keys does not use more and more memory.
const MOST: usize = 512;
/// Bytes of the longest key that is learned.
const LONGEST_NAME: usize = 256;
/// Bytes of the longest member that is compared as a whole.
const LONGEST_CONSTANT: usize = 256;

/// The keys of an object, in their order, without duplicates.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    /// The bytes of the key and its colon: `"name":`.
    text: Literal,
    /// The slot for the values of the key.
    slot: usize,
    name: Box<str>,
    /// The whole member as it was when the shape was learned, until it changes.
    constant: Option<(Literal, Kind)>,
}

/// The expected bytes of a key or member.
#[derive(Debug, Clone)]
struct Literal {
    /// The bytes, at most 32, and a mask of those that are compared.
    short: (u8x32, u8x32),
    text: Box<[u8]>,
}

impl Literal {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut expected, mut counts) = ([0; 32], [0; 32]);
        if bytes.len() <= 32 {
            expected[..bytes.len()].copy_from_slice(bytes);
            counts[..bytes.len()].fill(0xff);
        }
        Self { short: (u8x32::new(expected), u8x32::new(counts)), text: bytes.into() }
    }

    #[inline]
    fn len(&self) -> usize {
        self.text.len()
    }

    #[inline]
    fn is_at(&self, record: &[u8], at: usize) -> bool {
        match chunk::<32>(record, at) {
            Some(&bytes) if self.text.len() <= 32 => {
                let (expected, counts) = self.short;
                (u8x32::new(bytes) & counts).simd_eq(expected).to_bitmask() == u32::MAX
            }
            _ => record.get(at..).is_some_and(|rest| rest.starts_with(&self.text)),
        }
    }
}

/// The reason why an object is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// A key that the shape does not have at this place. [`Shape::learn`] can add it.
    Key,
    /// Invalid JSON, or a rare form of it.
    Value,
}

/// The members that [`Shape::read_constants`] has found: one bit for each of the first slots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    /// Members that the object has.
    pub(super) there: u32,
    /// Members that are the same as when the shape was learned.
    pub(super) constant: u32,
}

/// A member of the object that was read.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Index of the key in the shape.
    key: usize,
    slot: usize,
    /// The end of the value, which is the place of the comma or the brace.
    end: usize,
}

/// The members of the object that was read last, in their order.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps(Vec<Step>);

impl Shape {
    /// Reads the object at `at` and returns its end. `each` is called with the slot of a key and the beginning of its value, and returns
    /// the end of the value.
    #[inline]
    pub(super) fn read(
        &self,
        record: &[u8],
        mut at: usize,
        mut each: impl FnMut(usize, usize) -> Result<usize, Miss>,
    ) -> Result<usize, Miss> {
        if record.get(at) != Some(&b'{') {
            return Err(Miss::Value);
        }
        let mut keys = self.keys.iter();
        loop {
            at += 1;
            let key = keys.find(|key| key.text.is_at(record, at)).ok_or(Miss::Key)?;
            at = each(key.slot, at + key.text.len())?;
            if is_closed(record, at)? {
                return Ok(at + 1);
            }
        }
    }

    /// Reads an object most of whose members are the same as in the object before. The value of an equal member is not scanned.
    #[inline]
    pub(super) fn read_constants(
        &mut self,
        record: &[u8],
        mut at: usize,
        spans: &mut [Span],
    ) -> Result<(usize, Read), Miss> {
        let mut read = Read::default();
        if record.get(at) != Some(&b'{') {
            return Err(Miss::Value);
        }
        let mut keys = self.keys.iter_mut();
        loop {
            at += 1;
            let key = keys.find(|key| key.text.is_at(record, at)).ok_or(Miss::Key)?;
            let begin = at + key.text.len();
            let bit = 1_u32.checked_shl(u32::try_from(key.slot).unwrap_or(u32::MAX)).unwrap_or(0);
            read.there |= bit;
            let span = match &key.constant {
                Some((member, kind))
                    if member.is_at(record, at) && matches!(record.get(at + member.len()), Some(b',' | b'}')) =>
                {
                    read.constant |= bit;
                    at += member.len();
                    let quote = usize::from(kind.is_string());
                    scan::span(begin + quote, at - quote, *kind)
                }
                _ => {
                    key.constant = None;
                    let mut span = Span::default();
                    at = scan::value(record, begin, &mut span).ok_or(Miss::Value)?.get();
                    span
                }
            };
            if let Some(there) = spans.get_mut(key.slot) {
                *there = span;
            }
            if is_closed(record, at)? {
                return Ok((at + 1, read));
            }
        }
    }

    /// Reads an object and records its members in `steps`.
    #[inline]
    pub(super) fn read_steps(
        &self,
        record: &[u8],
        mut at: usize,
        spans: &mut [Span],
        Steps(steps): &mut Steps,
    ) -> Result<usize, Miss> {
        steps.clear();
        if record.get(at) != Some(&b'{') {
            return Err(Miss::Value);
        }
        let mut next = 0;
        loop {
            let step = self.step(record, at + 1, next, spans)?;
            steps.push(step);
            (at, next) = (step.end, step.key + 1);
            if is_closed(record, at)? {
                return Ok(at + 1);
            }
        }
    }

    /// Reads an object that is mostly equal to the object at `twin`, whose steps are known: of the two images of a row, an update changes
    /// only some columns. Bytes that are equal do not have to be validated again.
    #[inline]
    pub(super) fn read_twin(
        &self,
        record: &[u8],
        mut at: usize,
        mut twin: usize,
        spans: &mut [Span],
        (Steps(steps), twins): (&Steps, &[Span]),
    ) -> Result<usize, Miss> {
        if record.get(at) != Some(&b'{') || at < twin {
            return Err(Miss::Value);
        }
        let mut steps = steps.iter().peekable();
        let mut next = 0;
        loop {
            // Both places are at a brace or a comma.
            let same = twin + same_bytes(record, twin, at);
            while let Some(step) = steps.next_if(|step| step.end < same) {
                let away = at - twin;
                if let (Some(there), Some(span)) = (spans.get_mut(step.slot), twins.get(step.slot)) {
                    *there = span.moved(away);
                }
                (twin, at, next) = (step.end, step.end + away, step.key + 1);
                if record.get(at) == Some(&b'}') {
                    return Ok(at + 1);
                }
            }
            let step = self.step(record, at + 1, next, spans)?;
            (at, next) = (step.end, step.key + 1);
            if is_closed(record, at)? {
                return Ok(at + 1);
            }
            while let Some(passed) = steps.next_if(|passed| passed.key < next) {
                twin = passed.end;
            }
        }
    }

    /// The member whose key is at `at`, if it is one of the expected keys from `next` on.
    #[inline]
    fn step(&self, record: &[u8], at: usize, next: usize, spans: &mut [Span]) -> Result<Step, Miss> {
        let keys = self.keys.get(next..).unwrap_or_default();
        let passed = keys.iter().position(|key| key.text.is_at(record, at)).ok_or(Miss::Key)?;
        let key = &keys[passed];
        let span = spans.get_mut(key.slot).ok_or(Miss::Value)?;
        let end = scan::value(record, at + key.text.len(), span).ok_or(Miss::Value)?.get();
        Ok(Step { key: next + passed, slot: key.slot, end })
    }

    /// Learns the members of an object, in their order. `slots` returns the slot for the values of each key.
    pub(super) fn learn(&mut self, members: &[Member<'_>], mut slots: impl FnMut(&str) -> usize) {
        let names: Vec<_> = members.iter().map(|member| member.name).collect();
        let names = names.as_slice();
        if self.keys.len() + names.len() > MOST || !self.merge(names) {
            // The order differs, or there are too many keys: the shape becomes that of this object.
            self.keys.clear();
            if names.len() > MOST || !self.merge(names) {
                self.keys.clear();
            }
        }
        for key in &mut self.keys {
            key.slot = slots(&key.name);
            if let Some(member) = members.iter().find(|member| *member.name == *key.name) {
                let text = format!("\"{}\":{}", member.name, member.value);
                key.constant = (text.len() <= LONGEST_CONSTANT).then(|| (Literal::new(&text), member.kind));
            }
        }
    }

    /// Inserts the keys of an object. Returns false if their order contradicts the shape, or if a key is repeated.
    fn merge(&mut self, names: &[&str]) -> bool {
        let mut next = 0;
        for &name in names {
            match self.keys.iter().position(|key| *key.name == *name) {
                Some(known) if known >= next => next = known + 1,
                Some(_) => return false,
                None => {
                    self.keys.insert(
                        next,
                        Key {
                            text: Literal::new(&format!("\"{name}\":")),
                            slot: usize::MAX,
                            name: name.into(),
                            constant: None,
                        },
                    );
                    next += 1;
                }
            }
        }
        true
    }
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member<'r> {
    pub(super) name: &'r str,
    /// The member as JSON.
    pub(super) value: &'r str,
    kind: Kind,
}

impl<'r> Member<'r> {
    /// The members of the object at the beginning of a text. `None` if its form is not common.
    pub(super) fn all(text: &'r str) -> Option<Vec<Self>> {
        let bytes = text.as_bytes();
        let mut members = Vec::new();
        let mut at = 0;
        if bytes.first() != Some(&b'{') {
            return None;
        }
        loop {
            let (mut name, mut value) = (Span::default(), Span::default());
            let end = scan::value(bytes, at + 1, &mut name)?.get();
            let is_name = matches!(name.kind, Kind::Plain | Kind::Comma) && name.len() <= LONGEST_NAME;
            if !is_name || bytes.get(end) != Some(&b':') || members.len() == MOST {
                return None;
            }
            at = scan::value(bytes, end + 1, &mut value)?.get();
            let name = text.get(name.start as usize..name.end as usize)?;
            members.push(Self { name, value: value.json(text)?, kind: value.kind });
            if is_closed(bytes, at).ok()? {
                return Some(members);
            }
        }
    }
}

/// Whether the object ends at `at`. If not, another member follows.
#[inline]
fn is_closed(record: &[u8], at: usize) -> Result<bool, Miss> {
    match record.get(at) {
        Some(b',') => Ok(false),
        Some(b'}') => Ok(true),
        _ => Err(Miss::Value),
    }
}

/// A lower bound of the number of equal bytes from two places on.
#[inline]
fn same_bytes(record: &[u8], left: usize, right: usize) -> usize {
    let mut same = 0;
    while let (Some(&left), Some(&right)) = (chunk::<32>(record, left + same), chunk::<32>(record, right + same)) {
        let mask = u8x32::new(left).simd_eq(u8x32::new(right)).to_bitmask();
        if mask != u32::MAX {
            return same + mask.trailing_ones() as usize;
        }
        same += 32;
    }
    same
}
