//! A YAML document as a tree that knows where each key and value stands. Pure.

use serde_json::{Map, Number, Value};

/// A place in the file: line and column in characters, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pos {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A stretch of the file; the end is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: Pos,
    pub(super) end: Pos,
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Span,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) data: Data,
    /// A plain scalar as it was written, before YAML made a number or a boolean of it.
    pub(super) raw: Option<String>,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Node {
    pub(super) fn new(span: Span, data: Data) -> Self {
        Self { span, data, raw: None }
    }

    /// For messages: what kind of value this is.
    pub(super) fn describe(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::Bool(b) => format!("`{b}`"),
            Data::Number(n) => format!("the number {}", self.raw.as_deref().unwrap_or(&n.to_string())),
            Data::Text(_) => "text".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(s) => Some(s),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match &self.data {
            Data::Number(n) => n.as_u64(),
            _ => None,
        }
    }

    pub(super) fn entries(&self) -> &[(Key, Node)] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of that key; a null value counts as absent.
    pub(super) fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        self.entries().iter().find(|(k, v)| k.text == key && !v.is_null())
    }

    /// The value of that key; a null value counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, v)| v)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.data {
            Data::Map(entries) => entries.iter_mut().find(|(k, _)| k.text == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Calls `f` on every scalar below, this one included.
    pub(super) fn scalars_mut(&mut self, f: &mut dyn FnMut(&mut Node)) {
        match &mut self.data {
            Data::List(items) => items.iter_mut().for_each(|n| n.scalars_mut(f)),
            Data::Map(entries) => entries.iter_mut().for_each(|(_, n)| n.scalars_mut(f)),
            _ => f(self),
        }
    }

    /// Calls `f` on every text below, this one included.
    pub(super) fn texts<'n>(&'n self, f: &mut dyn FnMut(&'n Node, &'n str)) {
        match &self.data {
            Data::Text(s) => f(self, s),
            Data::List(items) => items.iter().for_each(|n| n.texts(f)),
            Data::Map(entries) => entries.iter().for_each(|(_, n)| n.texts(f)),
            _ => {}
        }
    }

    /// The same without positions.
    pub(super) fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(b) => Value::Bool(*b),
            Data::Number(n) => Value::Number(n.clone()),
            Data::Text(s) => Value::String(s.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Data::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| (k.text.clone(), v.to_value()));
                Value::Object(entries.collect::<Map<_, _>>())
            }
        }
    }

    /// The node at a path of keys and indices, as far as the path goes.
    pub(super) fn follow(&self, path: impl Iterator<Item = String>) -> &Node {
        let mut node = self;
        for step in path {
            let next = match &node.data {
                Data::List(items) => step.parse::<usize>().ok().and_then(|i| items.get(i)),
                Data::Map(entries) => entries.iter().find(|(k, _)| k.text == step).map(|(_, v)| v),
                _ => None,
            };
            match next {
                Some(n) => node = n,
                None => break,
            }
        }
        node
    }
}
