//! Reading JSON objects that people wrote: keys in any case and `null` as absent, as Go's readers have it; every error
//! names the field, the value and the cure; a key that nobody asked for is an error with the nearest known one.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde_json::{Map, Value};

/// What a configuration or an annotation has wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}{}: {cure}", ValueText(value))]
pub struct ConfError {
    /// Which kind of fault it is.
    pub kind: ConfFault,
    /// Path of the field, for example `planes[1].ipam.ranges[0]`.
    pub field: String,
    /// The value as found, cut to 80 characters; empty if there is none.
    pub value: String,
    /// What is wrong and what to write instead.
    pub cure: String,
}

/// Kinds of faults; the CNI codes are assigned elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfFault {
    /// A key that does not exist here.
    UnknownKey,
    /// A value that cannot stand.
    Invalid,
    /// What the pod asked for in an annotation.
    Annotation,
}

struct ValueText<'a>(&'a str);

impl Display for ValueText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

impl ConfError {
    /// A value that cannot stand.
    pub fn invalid(field: impl Into<String>, value: impl Display, cure: impl Into<String>) -> Self {
        Self {
            kind: ConfFault::Invalid,
            field: field.into(),
            value: cut(&value.to_string()),
            cure: cure.into(),
        }
    }

    /// The same error, told of an annotation.
    #[must_use]
    pub fn in_annotation(self) -> Self {
        Self { kind: ConfFault::Annotation, ..self }
    }
}

/// One line of at most 80 characters, whatever a hostile value holds.
#[must_use]
pub fn cut(text: &str) -> String {
    cut_to(text, 80)
}

fn cut_to(text: &str, most: usize) -> String {
    let mut line: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most + 1).collect();
    if line.chars().count() > most {
        line = line.chars().take(most - 1).collect();
        line.push('…');
    }
    line
}

/// The fields of one object.
#[derive(Debug)]
pub struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads `value`, which stands at `path`.
    ///
    /// # Errors
    /// If it is no object.
    pub fn of(path: impl Into<String>, value: &'a Value) -> Result<Self, ConfError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self::new(path, map)),
            other => Err(ConfError::invalid(path, other, "write an object in braces")),
        }
    }

    /// Reads `map`, which stands at `path` (empty for the top).
    #[must_use]
    pub fn new(path: impl Into<String>, map: &'a Map<String, Value>) -> Self {
        Self { path: path.into(), map, known: Vec::new() }
    }

    /// The path of one of the object's fields.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a field; `null` is absent. A key in its exact case wins over the same in another.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        let exact = self.map.get(key);
        let found =
            exact.or_else(|| self.map.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v));
        found.filter(|value| !value.is_null())
    }

    /// A text.
    ///
    /// # Errors
    /// If the field is there and no text.
    pub fn text(&mut self, key: &'static str) -> Result<Option<&'a str>, ConfError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(ConfError::invalid(self.path(key), other, "write a text in quotes")),
        }
    }

    /// A text that is parsed; empty is absent.
    ///
    /// # Errors
    /// What the parser says, with the field's path.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Result<Option<T>, ConfError> {
        match self.text(key)?.filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => parse(&self.path(key), text).map(Some),
        }
    }

    /// A field that must be there.
    ///
    /// # Errors
    /// If `found` is `None`.
    pub fn required<T>(&self, key: &str, found: Option<T>, cure: &str) -> Result<T, ConfError> {
        found.ok_or_else(|| ConfError::invalid(self.path(key), "", format!("is missing: {cure}")))
    }

    /// A truth value; `"true"` and `"false"` in quotes count too.
    ///
    /// # Errors
    /// If the field is there and neither.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, ConfError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(other) => Err(ConfError::invalid(self.path(key), other, "write true or false")),
        }
    }

    /// A whole number, also in quotes, that becomes a `T`.
    ///
    /// # Errors
    /// If the field is there and no whole number, or outside of `T`'s range.
    pub fn number<T: TryFrom<u64, Error: Display>>(
        &mut self,
        key: &'static str,
    ) -> Result<Option<T>, ConfError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let path = self.path(key);
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let number =
            number.ok_or_else(|| ConfError::invalid(&path, value, "write a whole number, not negative"))?;
        T::try_from(number).map(Some).map_err(|error| ConfError::invalid(&path, number, error.to_string()))
    }

    /// The items of a list with their paths; absent is empty.
    ///
    /// # Errors
    /// If the field is there and no list, or one of more than 4096 items.
    pub fn list(&mut self, key: &'static str) -> Result<Vec<(String, &'a Value)>, ConfError> {
        let path = self.path(key);
        match self.value(key) {
            None => Ok(Vec::new()),
            Some(value) => items(&path, value),
        }
    }

    /// A list of texts, each parsed.
    ///
    /// # Errors
    /// As [`Fields::list`], and what the parser says with the item's path.
    pub fn parsed_list<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Result<Vec<T>, ConfError> {
        self.list(key)?.into_iter().map(|(path, value)| parse_value(&path, value)).collect()
    }

    /// An object's own fields.
    ///
    /// # Errors
    /// If the field is there and no object.
    pub fn object(&mut self, key: &'static str) -> Result<Option<Fields<'a>>, ConfError> {
        let path = self.path(key);
        self.value(key).map(|value| Fields::of(path, value)).transpose()
    }

    /// An object of texts.
    ///
    /// # Errors
    /// If the field is there and no object of texts.
    pub fn texts(&mut self, key: &'static str) -> Result<Vec<(&'a str, &'a str)>, ConfError> {
        let path = self.path(key);
        self.entries(key)?
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => Ok((name, text.as_str())),
                other => Err(ConfError::invalid(format!("{path}.{name}"), other, "write a text in quotes")),
            })
            .collect()
    }

    /// The entries of an object whose keys are no fixed set.
    ///
    /// # Errors
    /// If the field is there and no object.
    pub fn entries(&mut self, key: &'static str) -> Result<Vec<(&'a str, &'a Value)>, ConfError> {
        let fields = self.object(key)?;
        Ok(fields
            .map(|fields| fields.map.iter().map(|(name, value)| (name.as_str(), value)).collect())
            .unwrap_or_default())
    }

    /// The object's own path.
    #[must_use]
    pub fn here(&self) -> String {
        self.path.clone()
    }

    /// The object as written.
    #[must_use]
    pub fn verbatim(&self) -> Map<String, Value> {
        self.map.clone()
    }

    /// Tolerates keys that others define.
    pub fn tolerate(&mut self, keys: &[&'static str]) {
        self.known.extend(keys);
    }

    /// Refuses keys that nobody asked for, unless `tolerated` says that they are another's.
    ///
    /// # Errors
    /// The first unknown key, with the nearest known one.
    pub fn finish(self, tolerated: impl Fn(&str) -> bool) -> Result<(), ConfError> {
        let is_known = |key: &str| self.known.iter().any(|known| known.eq_ignore_ascii_case(key));
        match self.map.iter().find(|(key, _)| !is_known(key) && !tolerated(key)) {
            None => Ok(()),
            Some((key, value)) => Err(ConfError {
                kind: ConfFault::UnknownKey,
                field: cut(&self.path(key)),
                value: cut(&value.to_string()),
                cure: format!("unknown key; {}", suggestion(key, &self.known)),
            }),
        }
    }
}

/// The items of a list with their paths.
///
/// # Errors
/// If `value` is no list, or one of more than 4096 items.
pub fn items<'a>(path: &str, value: &'a Value) -> Result<Vec<(String, &'a Value)>, ConfError> {
    match value {
        Value::Array(list) if list.len() > 4096 => {
            Err(ConfError::invalid(path, list.len(), "too many items; write at most 4096"))
        }
        Value::Array(list) => {
            Ok(list.iter().enumerate().map(|(number, item)| (format!("{path}[{number}]"), item)).collect())
        }
        other => Err(ConfError::invalid(path, other, "write a list in brackets")),
    }
}

/// Parses a text that stands at `path`.
///
/// # Errors
/// What the parser says.
pub fn parse<T: FromStr<Err: Display>>(path: &str, text: &str) -> Result<T, ConfError> {
    // Our parsers cut the value that they repeat to 64 characters; the rule after it is what the reader needs.
    let cure = |error: T::Err| cut_to(&error.to_string(), 240);
    text.parse().map_err(|error| ConfError::invalid(path, format!("{text:?}"), cure(error)))
}

/// Parses a text value that stands at `path`.
///
/// # Errors
/// If it is no text, and what the parser says.
pub fn parse_value<T: FromStr<Err: Display>>(path: &str, value: &Value) -> Result<T, ConfError> {
    match value {
        Value::String(text) => parse(path, text),
        other => Err(ConfError::invalid(path, other, "write a text in quotes")),
    }
}

fn suggestion(key: &str, known: &[&'static str]) -> String {
    let key = key.to_ascii_lowercase();
    let near = known
        .iter()
        .map(|known| (distance(&key, &known.to_ascii_lowercase()), *known))
        .filter(|(distance, known)| *distance <= 2.max(known.len() / 3))
        .min();
    match near {
        Some((_, known)) => format!("did you mean {known:?}?"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// Edits between two short texts (Levenshtein); a long one is near nothing.
fn distance(one: &str, other: &str) -> usize {
    if one.len() > 40 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let substituted = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[other.chars().count()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let value = json!({"brige": "x"});
        let mut fields = Fields::of("planes[0]", &value).unwrap();
        fields.text("bridge").unwrap();

        let error = fields.finish(|_| false).unwrap_err();

        assert_eq!(error.to_string(), "planes[0].brige \"x\": unknown key; did you mean \"bridge\"?");
        assert_eq!(error.kind, ConfFault::UnknownKey);
    }

    #[test]
    fn keys_come_in_any_case_and_null_is_absent() {
        let value = json!({"HostPort": 1, "b": null, "c": "7", "d": "true"});
        let mut fields = Fields::of("", &value).unwrap();

        assert_eq!(fields.number::<u64>("hostPort").unwrap(), Some(1));
        assert_eq!(fields.value("b"), None);
        assert_eq!(fields.number::<u64>("c").unwrap(), Some(7));
        assert_eq!(fields.flag("d").unwrap(), Some(true));
        assert_eq!(fields.finish(|_| false), Ok(()));
    }

    #[test]
    fn a_long_value_does_not_push_the_rule_out_of_the_line() {
        let error =
            parse::<crate::PlaneName>("planes[0].name", &"x".repeat(1 << 20)).unwrap_err().to_string();

        assert!(error.contains("1 to 63") && error.len() < 400, "{error}");
    }

    #[test]
    fn hostile_values_stay_on_one_short_line() {
        let value = json!({"a": "x\n".repeat(1000)});
        let mut fields = Fields::of("", &value).unwrap();

        let error = fields.flag("a").unwrap_err().to_string();

        assert!(error.len() < 200 && error.lines().count() == 1, "{error}");
    }
}
