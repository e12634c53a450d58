//! JSON as a pod's author writes it: a key that stands twice in one object is refused, because the last one would win
//! unseen; nesting is bounded by `serde_json` (128 levels).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::fields::{ConfError, cut};

/// Parses the text of the annotation `key`.
pub(super) fn parse(key: &str, text: &str) -> Result<Value, ConfError> {
    serde_json::from_str(text).map(|Strict(value)| value).map_err(|error| {
        ConfError::invalid(key, cut(text), format!("is no JSON that we read: {}", cut(&error.to_string())))
    })
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format!("key {:?} stands twice", cut(&key))));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_refused_at_any_depth() {
        let error = parse("x", r#"[{"a": {"name": 1, "name": 2}}]"#).unwrap_err().to_string();

        assert!(error.contains("key \"name\" stands twice"), "{error}");
        assert!(parse("x", r#"[{"name": 1}, {"name": 2}]"#).is_ok());
    }

    proptest! {
        #[test]
        fn everything_else_is_read_as_serde_json_reads_it(text in r#"[\[\]{}":,a-c0-9.e-]{0,60}|\[\{"a":[0-9.e-]{1,6},"b":(null|true|"x")\}\]"#) {
            let theirs: Result<Value, _> = serde_json::from_str(&text);
            match parse("x", &text) {
                Ok(value) => prop_assert_eq!(value, theirs.unwrap()),
                Err(error) => prop_assert!(theirs.is_err() || error.cure.contains("stands twice")),
            }
        }
    }
}
