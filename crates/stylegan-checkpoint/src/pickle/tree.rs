use std::borrow::Cow;

use super::View;

/// A value: a number, or the place of a node in its [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A floating point number.
    Float(f64),
    /// The number of a node.
    Node(u32),
}

/// A value that takes memory of its own. `'a` is the input that it borrows from.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'a> {
    /// An integer of more than 64 bits: little-endian two's complement.
    Long(Cow<'a, [u8]>),
    /// A text, or what Python 2 called one.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A set or frozen set, in the order of the file.
    Set(Vec<Value>),
    /// A dictionary, in the order of the file. Of equal keys the last one counts.
    Dict(Vec<(Value, Value)>),
    /// A class or function, by name. It is never looked up.
    Global(Box<(Cow<'a, str>, Cow<'a, str>)>),
    /// What calling something would have made.
    Object(Box<Object>),
    /// A value that is stored outside of the pickle, by its identification.
    Persistent(Value),
}

/// An object that was not made: what would have been called, and what would have been done with the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The class or function.
    pub callee: Value,
    /// The arguments, a tuple.
    pub args: Value,
    /// The arguments by name, a dictionary, if any.
    pub kwargs: Value,
    /// The state that the object would have been given (`__setstate__`), if any.
    pub state: Option<Value>,
    /// Items that would have been set (`object[key] = value`).
    pub items: Vec<(Value, Value)>,
    /// Elements that would have been appended.
    pub elements: Vec<Value>,
}

/// A node, where it comes from and how deep it is.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) node: Node<'a>,
    /// Of the instruction that made it; of texts and bytes, where they begin.
    pub(super) offset: usize,
    /// Levels below it, as far as known when it was last changed.
    pub(super) depth: usize,
}

/// What a pickle holds: values that refer to each other, with one of them as the root.
///
/// Values may be shared, and may contain themselves.
#[derive(Debug)]
pub struct Tree<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) root: Value,
}

impl<'a> Tree<'a> {
    /// The value that the pickle stands for.
    pub fn root(&self) -> View<'_, 'a> {
        View::new(self, self.root, String::new(), 0)
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the pickle is a single number.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All nodes, in the order in which the pickle made them, without the way to them.
    pub fn nodes(&self) -> impl Iterator<Item = View<'_, 'a>> {
        let view = |(i, entry): (usize, &Entry)| {
            View::new(self, Value::Node(i as u32), String::new(), entry.offset)
        };
        self.entries.iter().enumerate().map(view)
    }

    pub(super) fn entry(&self, value: Value) -> Option<&Entry<'a>> {
        match value {
            Value::Node(i) => self.entries.get(i as usize),
            _ => None,
        }
    }
}
