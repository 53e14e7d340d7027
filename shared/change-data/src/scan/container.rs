//! Finds the end of an array or object, 64 bytes at a time: brackets outside strings are counted with masks of one bit for each byte.

use wide::u8x32;

use super::string_end;

/// The places in an object whose only member is a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OnlyString {
    /// The place of the quote that ends the key.
    pub(crate) key_end: usize,
    /// The places of the value's first quote, and of the brace after its last.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The places in the valid object at `start`, if its only member is a string, in a common notation: `{"S":"text"}`, `{"$numberLong": "7"}`.
/// `None` for any other object, and for other white space or an escape in the key.
///
/// Nearly all values of DynamoDB, and typed values of MongoDB, are such objects, for which [`container_end`] takes twice as many
/// instructions.
#[inline]
pub(crate) fn only_string(text: &[u8], start: usize) -> Option<OnlyString> {
    let key_end = match text.get(start..)? {
        // A type of DynamoDB.
        [b'{', b'"', letter, b'"', ..] if letter.is_ascii_alphabetic() => start + 3,
        [b'{', b'"', ..] => string_end(text, start + 2).filter(|(_, has_escapes)| !has_escapes)?.0,
        _ => return None,
    };
    let start = match text.get(key_end + 1..)? {
        [b':', b'"', ..] => key_end + 2,
        [b':', b' ', b'"', ..] => key_end + 3,
        _ => return None,
    };
    let end = string_end(text, start + 1)?.0 + 1;
    (text.get(end) == Some(&b'}')).then_some(OnlyString { key_end, start, end })
}

/// The end of the valid array or object at `start`.
pub(crate) fn container_end(text: &[u8], start: usize) -> Option<usize> {
    let (mut at, mut depth) = (start, 0);
    let mut strings = Strings::default();
    loop {
        let block = match text.get(at..)?.first_chunk::<64>() {
            Some(block) => *block,
            None => {
                let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
                let mut block = [b' '; 64];
                block[..rest.len()].copy_from_slice(rest);
                block
            }
        };
        let block = Block::new(&block);
        let outside = !strings.inside(&block);
        // `[` and `{`, and `]` and `}`, differ in one bit.
        let folded = |byte: u8| block.map(|bytes| (bytes | u8x32::splat(0x20)).simd_eq(u8x32::splat(byte)));
        let (opens, closes) = (folded(b'{') & outside, folded(b'}') & outside);
        if closes.count_ones() >= depth {
            // The container may end in this block.
            let (mut rest, mut passed) = (closes, 0);
            while rest != 0 {
                let close = rest.trailing_zeros();
                passed += 1;
                if depth + (opens & ((1 << close) - 1)).count_ones() == passed {
                    return Some(at + close as usize + 1);
                }
                rest &= rest - 1;
            }
        }
        depth = (depth + opens.count_ones()).checked_sub(closes.count_ones())?;
        at += 64;
    }
}

/// 64 bytes, whose masks have one bit for each byte.
struct Block([u8x32; 2]);

impl Block {
    #[inline]
    fn new(bytes: &[u8; 64]) -> Self {
        let (low, high) = bytes.split_at(32);
        let half = |bytes: &[u8]| u8x32::new(bytes.first_chunk().copied().unwrap_or_default());
        Self([half(low), half(high)])
    }

    #[inline]
    fn map(&self, mask: impl Fn(u8x32) -> u8x32) -> u64 {
        let [low, high] = self.0.map(|half| u64::from(mask(half).to_bitmask()));
        low | high << 32
    }
}

/// Which bytes are in strings, from one block to the next.
#[derive(Debug, Default)]
struct Strings {
    /// All bits are set if the last byte of the block before is in a string.
    is_inside: u64,
    /// 1 if the first byte of the next block is escaped.
    escaped: u64,
}

impl Strings {
    /// The bytes of strings, with their opening quotes.
    #[inline]
    fn inside(&mut self, block: &Block) -> u64 {
        let escapes = block.map(|bytes| bytes.simd_eq(u8x32::splat(b'\\')));
        let quotes = block.map(|bytes| bytes.simd_eq(u8x32::splat(b'"'))) & !self.escaped(escapes);
        // Each bit becomes the parity of the quotes up to it.
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.is_inside;
        self.is_inside = if inside >> 63 == 0 { 0 } else { u64::MAX };
        inside
    }

    /// The bytes that follow a backslash that is not itself escaped.
    #[inline]
    fn escaped(&mut self, mut backslashes: u64) -> u64 {
        let mut escaped = std::mem::take(&mut self.escaped);
        backslashes &= !escaped;
        while backslashes != 0 {
            let at = backslashes.trailing_zeros();
            match 2_u64.checked_shl(at).filter(|_| at < 63) {
                Some(next) => {
                    escaped |= next;
                    backslashes &= !next;
                }
                None => self.escaped = 1,
            }
            backslashes &= backslashes - 1;
        }
        escaped
    }
}
