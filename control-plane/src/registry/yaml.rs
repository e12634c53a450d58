//! YAML as a tree whose every node knows its line, and a reader over it that knows the path to where it stands.
//! An error can so name file, line and field, which a typed deserializer cannot do for every kind of mistake.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One value and the line where it stands.
pub(super) type Node = Spanned<Value>;

/// A YAML value without anchors and tags.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Whole(i128),
    Fraction(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Whole(_) | Self::Fraction(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Whole(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Fraction(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

/// What is wrong with one field: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {field}: {problem}: {cure}")]
pub struct FieldError {
    /// The line in the file, counted from 1.
    pub line: u64,
    /// The path to the field, such as `spec.endpoints[0].address`.
    pub field: String,
    /// What was found.
    pub problem: String,
    /// What to write instead.
    pub cure: String,
}

/// A place in the tree, and the path that leads to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    node: &'a Node,
    path: String,
    /// Lines of the file before this document.
    before: u64,
}

impl<'a> At<'a> {
    pub(super) fn root(node: &'a Node, before: u64) -> Self {
        Self { node, path: String::new(), before }
    }

    pub(super) fn line(&self) -> u64 {
        self.node.referenced.line() + self.before
    }

    pub(super) fn refuse(&self, problem: impl Into<String>, cure: impl Into<String>) -> FieldError {
        let field = if self.path.is_empty() { "document".to_owned() } else { self.path.clone() };
        FieldError { line: self.line(), field, problem: problem.into(), cure: cure.into() }
    }

    /// A value that is wrong as it stands.
    pub(super) fn refuse_text(&self, text: &str, cure: impl Into<String>) -> FieldError {
        self.refuse(format!("{:?}", cut(text)), cure)
    }

    fn unexpected(&self, cure: &str) -> FieldError {
        self.refuse(format!("found {}", self.node.value.kind()), cure)
    }

    /// The entry under `key`; an explicit null counts as absent, as it does in Kubernetes.
    pub(super) fn get(&self, key: &str) -> Result<Option<At<'a>>, FieldError> {
        let found = self.entries()?.into_iter().find(|(name, _)| *name == key);
        Ok(found.map(|(_, at)| at).filter(|at| at.node.value != Value::Null))
    }

    pub(super) fn need(&self, key: &str, cure: &str) -> Result<At<'a>, FieldError> {
        self.get(key)?.ok_or_else(|| {
            let mut error = self.refuse("is missing", cure);
            error.field = join(&self.path, key);
            error
        })
    }

    pub(super) fn entries(&self) -> Result<Vec<(&'a str, At<'a>)>, FieldError> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries
                .iter()
                .map(|(key, node)| {
                    let path = join(&self.path, &key.value);
                    (key.value.as_str(), At { node, path, before: self.before })
                })
                .collect()),
            Value::Null => Ok(Vec::new()),
            Value::Bool(_) | Value::Whole(_) | Value::Fraction(_) | Value::Text(_) | Value::List(_) => {
                Err(self.unexpected("write a mapping of key: value"))
            }
        }
    }

    /// Refuses a key that nothing reads: a typing error there would be a silent one.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), FieldError> {
        for (key, at) in self.entries()? {
            if !known.contains(&key) {
                return Err(at.refuse("is not known", format!("use one of {}", known.join(", "))));
            }
        }
        Ok(())
    }

    pub(super) fn list(&self) -> Result<Vec<At<'a>>, FieldError> {
        match &self.node.value {
            Value::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, node)| At {
                    node,
                    path: format!("{}[{index}]", self.path),
                    before: self.before,
                })
                .collect()),
            Value::Null => Ok(Vec::new()),
            Value::Bool(_) | Value::Whole(_) | Value::Fraction(_) | Value::Text(_) | Value::Map(_) => {
                Err(self.unexpected("write a list, each item after \"- \""))
            }
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, FieldError> {
        match &self.node.value {
            Value::Text(text) => Ok(text),
            Value::Null
            | Value::Bool(_)
            | Value::Whole(_)
            | Value::Fraction(_)
            | Value::List(_)
            | Value::Map(_) => Err(self.unexpected("write text, in quotes if it looks like a number")),
        }
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, least: u32, most: u32, what: &str) -> Result<u32, FieldError> {
        let cure = || format!("write {what} from {least} to {most}");
        let number = match &self.node.value {
            Value::Whole(number) => *number,
            Value::Text(text) => return Err(self.refuse_text(text, cure())),
            Value::Null | Value::Bool(_) | Value::Fraction(_) | Value::List(_) | Value::Map(_) => {
                return Err(self.unexpected(&cure()));
            }
        };
        u32::try_from(number)
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.refuse(number.to_string(), cure()))
    }

    pub(super) fn port(&self) -> Result<u16, FieldError> {
        let number = self.number(1, u32::from(u16::MAX), "a port")?;
        u16::try_from(number).map_err(|_| self.refuse(number.to_string(), "write a port from 1 to 65535"))
    }

    /// A mapping of text to text, such as labels.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, FieldError> {
        self.entries()?.into_iter().map(|(key, at)| Ok((key.to_owned(), at.text()?.to_owned()))).collect()
    }
}

fn join(path: &str, key: &str) -> String {
    let key = cut(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A part of a file in a message: short, and on one line.
pub(super) fn cut(text: &str) -> String {
    cut_to(text, 64)
}

fn cut_to(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Splits a file at its `---` lines: each document with the number of lines before it.
pub(super) fn documents(text: &str) -> Vec<(u64, String)> {
    let mut found = vec![(0, String::new())];
    for (number, line) in (1..).zip(text.lines()) {
        if line == "---" || line.starts_with("--- ") {
            found.push((number, String::new()));
        } else if line == "..." {
            // End of a document; whatever follows starts with "---".
        } else if let Some((_, document)) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    found.retain(|(_, document)| {
        document.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    found
}

/// Parses one document.
pub(super) fn parse(document: &str, before: u64) -> Result<Node, FieldError> {
    serde_saphyr::from_str::<Node>(document).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line()) + before;
        let problem = cut_to(&error.without_snippet().to_string(), 200);
        FieldError { line, field: "YAML".to_owned(), problem, cure: "mend the syntax".to_owned() }
    })
}
