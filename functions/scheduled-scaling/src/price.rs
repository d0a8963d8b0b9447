//! Prices that a policy names, and what they come to. Whole numbers all the way, so
//! that no sum ends in ninths of a cent.

use std::borrow::Cow;
use std::fmt::{self, Display};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most that an hour costs, in any currency.
const MOST: f64 = 1e9;

/// In which fractions prices are held.
const MILLIONTHS: f64 = 1e6;

/// What an hour costs: 0 to 1,000,000,000 of the policy's currency, to a millionth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price {
    millionths: i64,
}

impl Price {
    /// Rounded to a millionth; `None` for what is no price.
    pub fn of(price: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a thousandth of the largest i64 at most"
        )]
        let millionths = |price: f64| (price * MILLIONTHS).round() as i64;
        // Not a number is within no bounds.
        (0.0..=MOST).contains(&price).then(|| Self {
            millionths: millionths(price),
        })
    }

    /// How much less than this an hour at another price costs; below zero when it
    /// costs more.
    pub(crate) fn less(self, other: Self) -> i128 {
        i128::from(self.millionths) - i128::from(other.millionths)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the number nearest to the decimal that was written"
        )]
        serializer.serialize_f64(self.millionths as f64 / MILLIONTHS)
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// A price as a policy writes it.
struct Written;

impl Written {
    const ALLOWED: &str = "a number from 0 to 1000000000, such as 0.42";

    fn price<E: Error>(price: f64) -> Result<Price, E> {
        Price::of(price).ok_or_else(|| {
            let allowed = Self::ALLOWED;
            E::custom(format!("{price} is no price; allowed: {allowed}"))
        })
    }
}

impl Visitor<'_> for Written {
    type Value = Price;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALLOWED)
    }

    #[expect(clippy::cast_precision_loss, reason = "what is that large is no price")]
    fn visit_u64<E: Error>(self, price: u64) -> Result<Price, E> {
        Self::price(price as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "what is that large is no price")]
    fn visit_i64<E: Error>(self, price: i64) -> Result<Price, E> {
        Self::price(price as f64)
    }

    fn visit_f64<E: Error>(self, price: f64) -> Result<Price, E> {
        Self::price(price)
    }
}

impl JsonSchema for Price {
    fn schema_name() -> Cow<'static, str> {
        "Price".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "number",
            "minimum": 0,
            "maximum": 1_000_000_000,
            "description": "What an hour costs, to a millionth of the currency.",
        })
    }
}

/// An amount of money, to a hundredth of its currency; below zero it is a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    hundredths: i128,
}

impl Amount {
    /// What millionths for an hour, over so many seconds of `of` seconds, come to in
    /// `hours`; halves are rounded away from zero. `None` of no time at all.
    pub(crate) fn over(millionth_seconds: i128, of: i64, hours: i64) -> Option<Self> {
        // Of a millionth and of a second to a hundredth: 10,000; hours and their
        // seconds are above and below the line and go.
        let above = millionth_seconds.checked_mul(i128::from(hours))?;
        let below = i128::from(of).checked_mul(10_000)?;
        if below <= 0 {
            return None;
        }
        let half = if above < 0 { -(below / 2) } else { below / 2 };
        Some(Self {
            hundredths: (above + half) / below,
        })
    }

    /// This and another, of the same currency.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            hundredths: self.hundredths.saturating_add(other.hundredths),
        }
    }

    /// Whether it is a loss.
    pub fn is_loss(self) -> bool {
        self.hundredths < 0
    }

    /// The same without its sign.
    #[must_use]
    pub fn absolute(self) -> Self {
        Self {
            hundredths: self.hundredths.abs(),
        }
    }
}

/// `1234.50`, always with two decimals.
impl Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_loss() { "-" } else { "" };
        let all = self.hundredths.unsigned_abs();
        write!(f, "{sign}{}.{:02}", all / 100, all % 100)
    }
}

/// As it is shown, a text, which no reader makes a fraction of.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_price_is_what_was_written() {
        for text in [
            "0.0",
            "0.1",
            "0.42",
            "1.005",
            "0.0001",
            "19.99",
            "1000000000.0",
        ] {
            assert_eq!(serde_json::to_string(&price(text)).unwrap(), text);
        }
        assert_eq!(price("2"), price("2.0"));
        assert_eq!(price("0.0000004"), price("0"));
    }

    #[test]
    fn what_is_no_price_is_refused_with_what_is_allowed() {
        for text in [
            "-1",
            "-0.01",
            "1000000001",
            "1e300",
            "\"1\"",
            "true",
            "null",
            "[]",
        ] {
            let error = serde_json::from_str::<Price>(text).unwrap_err().to_string();
            assert!(error.contains("a number from 0 to 1000000000"), "{error}");
        }
        for price in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Price::of(price), None);
        }
    }

    #[test]
    fn amounts_have_two_decimals_and_no_ninths() {
        let hour = 3600;
        let week = 7 * 24 * hour;
        let saved = |text: &str, hours: i128, of: i64, in_hours: i64| {
            let millionths = price(text).less(Price::default());
            let amount = Amount::over(millionths * hours * 3600, of, in_hours).unwrap();
            amount.to_string()
        };
        assert_eq!(saved("0.84", 110, week, 168), "92.40");
        assert_eq!(saved("0.1", 3, week, 168), "0.30");
        assert_eq!(saved("0.1", 168, week, 730), "73.00");
        assert_eq!(saved("1000000000", 168, week, 730), "730000000000.00");
        // Halves go up, and down below zero.
        assert_eq!(saved("0.005", 1, hour, 1), "0.01");
        assert_eq!(saved("0.004999", 1, hour, 1), "0.00");
        let more = Price::default().less(price("0.005"));
        let loss = Amount::over(more * 3600, hour, 1).unwrap();
        assert_eq!((loss.to_string(), loss.is_loss()), ("-0.01".into(), true));
        assert_eq!(loss.absolute().to_string(), "0.01");
        assert_eq!(serde_json::to_string(&loss).unwrap(), "\"-0.01\"");
        assert_eq!(Amount::over(1, 0, 1), None);
    }
}
