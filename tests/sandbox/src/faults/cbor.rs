//! CBOR (RFC 8949), as far as JSON goes.

use serde_json::{Map, Value, json};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// The only key of an object that stands for a time.
const TIME: &str = "$time";

/// The tag of a time (RFC 8949, 3.4.2).
const EPOCH: u64 = 1;

/// A time, in seconds since 1970, for an answer in CBOR: JSON has none.
#[must_use]
pub fn time(seconds: i64) -> Value {
    json!({TIME: seconds})
}

/// JSON as CBOR, with times as [`time`] writes them.
pub(super) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(value, &mut bytes);
    bytes
}

/// What can be said in JSON of an item: times are numbers, and bytes nothing.
/// `None` for what is no CBOR.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    match read(&mut rest)? {
        Item::Value(value) => Some(value),
        Item::Break => None,
    }
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Number(number) => {
            if let Some(number) = number.as_u64() {
                write_head(UNSIGNED, number, out);
            } else if let Some(number) = number.as_i64() {
                // CBOR writes −1 − n for a negative number.
                write_head(NEGATIVE, number.unsigned_abs() - 1, out);
            } else {
                out.push(0xfb);
                out.extend(number.as_f64().unwrap_or_default().to_be_bytes());
            }
        }
        Value::String(text) => {
            write_head(TEXT, text.len() as u64, out);
            out.extend(text.as_bytes());
        }
        Value::Array(list) => {
            write_head(ARRAY, list.len() as u64, out);
            list.iter().for_each(|item| write(item, out));
        }
        Value::Object(object) if object.len() == 1 && object.contains_key(TIME) => {
            write_head(TAG, EPOCH, out);
            object.values().for_each(|seconds| write(seconds, out));
        }
        Value::Object(object) => {
            write_head(MAP, object.len() as u64, out);
            for (key, item) in object {
                write_head(TEXT, key.len() as u64, out);
                out.extend(key.as_bytes());
                write(item, out);
            }
        }
    }
}

/// The head of an item in its long form, which readers must accept.
fn write_head(major: u8, argument: u64, out: &mut Vec<u8>) {
    out.push(major << 5 | 27);
    out.extend(argument.to_be_bytes());
}

enum Item {
    Value(Value),
    /// The end of what began without its length.
    Break,
}

fn read(rest: &mut &[u8]) -> Option<Item> {
    let first = take(1, rest)?[0];
    let (major, information) = (first >> 5, first & 0x1f);
    if major > TAG {
        return read_simple(information, rest);
    }
    let argument = match information {
        0..=23 => Some(u64::from(information)),
        24..=27 => Some(number(1 << (information - 24), rest)?),
        31 => None,
        _ => return None,
    };
    let value = match (major, argument) {
        (UNSIGNED, Some(number)) => json!(number),
        (NEGATIVE, Some(number)) => json!(-1 - i64::try_from(number).ok()?),
        (BYTES, Some(length)) => {
            take(length, rest)?;
            Value::Null
        }
        (TEXT, Some(length)) => {
            Value::String(String::from_utf8(take(length, rest)?.to_vec()).ok()?)
        }
        (TEXT, None) => {
            let parts = read_items(None, rest)?;
            let texts: Option<Vec<_>> = parts.iter().map(Value::as_str).collect();
            Value::String(texts?.concat())
        }
        (ARRAY, length) => Value::Array(read_items(length, rest)?),
        (MAP, length) => {
            let doubled = match length {
                Some(length) => Some(length.checked_mul(2)?),
                None => None,
            };
            Value::Object(paired(read_items(doubled, rest)?)?)
        }
        (TAG, Some(_)) => return read(rest),
        _ => return None,
    };
    Some(Item::Value(value))
}

fn read_simple(information: u8, rest: &mut &[u8]) -> Option<Item> {
    let value = match information {
        20 => Value::Bool(false),
        21 => Value::Bool(true),
        22 | 23 => Value::Null,
        26 => {
            let bits = u32::try_from(number(4, rest)?).ok()?;
            json!(f64::from(f32::from_bits(bits)))
        }
        27 => json!(f64::from_bits(number(8, rest)?)),
        31 => return Some(Item::Break),
        _ => return None,
    };
    Some(Item::Value(value))
}

/// So many items, or those up to the break.
fn read_items(length: Option<u64>, rest: &mut &[u8]) -> Option<Vec<Value>> {
    let mut items = Vec::new();
    while length != Some(items.len() as u64) {
        match read(rest)? {
            Item::Value(value) => items.push(value),
            Item::Break if length.is_none() => break,
            Item::Break => return None,
        }
    }
    Some(items)
}

fn paired(items: Vec<Value>) -> Option<Map<String, Value>> {
    let mut items = items.into_iter();
    let mut map = Map::new();
    while let Some(key) = items.next() {
        map.insert(key.as_str()?.to_owned(), items.next()?);
    }
    Some(map)
}

fn number(length: u64, rest: &mut &[u8]) -> Option<u64> {
    let bytes = take(length, rest)?.iter();
    Some(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(length: u64, rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_cbor_as_the_standard_does() {
        // RFC 8949, Appendix A, with heads in their long form.
        assert_eq!(encode(&json!(10)), [0x1b, 0, 0, 0, 0, 0, 0, 0, 10]);
        assert_eq!(encode(&json!(-10)), [0x3b, 0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(
            encode(&json!(1.1)),
            [0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a]
        );
        assert_eq!(
            encode(&json!([true, null])),
            [0x9b, 0, 0, 0, 0, 0, 0, 0, 2, 0xf5, 0xf6]
        );
        assert_eq!(
            encode(&json!({"a": "b"})),
            [
                0xbb, 0, 0, 0, 0, 0, 0, 0, 1, 0x7b, 0, 0, 0, 0, 0, 0, 0, 1, b'a', 0x7b, 0, 0, 0, 0,
                0, 0, 0, 1, b'b'
            ]
        );
    }

    #[test]
    fn what_is_written_can_be_read() {
        let value = json!({
            "text": "ü", "list": [1, -2, 0.5, null], "inner": {"yes": true, "no": false}, "none": {},
        });
        assert_eq!(decode(&encode(&value)), Some(value));
    }

    #[test]
    fn a_time_has_its_tag() {
        assert_eq!(
            encode(&time(10)),
            [0xdb, 0, 0, 0, 0, 0, 0, 0, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0, 10]
        );
        assert_eq!(decode(&encode(&json!([time(10)]))), Some(json!([10])));
    }

    #[test]
    fn what_began_without_a_length_ends_with_a_break() {
        // {"a": [1, "bc", time 1.5]}, of which the text is in two parts.
        let bytes = [
            0xbf, 0x61, b'a', 0x9f, 0x01, 0x7f, 0x61, b'b', 0x61, b'c', 0xff, 0xc1, 0xfb, 0x3f,
            0xf8, 0, 0, 0, 0, 0, 0, 0xff, 0xff,
        ];
        assert_eq!(decode(&bytes), Some(json!({"a": [1, "bc", 1.5]})));
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let whole = encode(&json!({"a": ["b", 1]}));
        for length in 0..whole.len() {
            assert_eq!(decode(&whole[..length]), None, "{length} bytes");
        }
    }
}
