use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::error::{ReadError, ReadErrorKind, Result};
use super::tree::{Node, Object, Tree, Value};

/// A value in a [`Tree`] and the way to it, which errors name.
#[derive(Debug, Clone)]
pub struct View<'t, 'a> {
    tree: &'t Tree<'a>,
    value: Value,
    path: String,
    /// Where the nearest node on the way to the value was made.
    offset: usize,
}

/// The way to a value is cut off behind so many bytes: that of a hostile file could be anything.
const LONGEST_PATH: usize = 256;

/// No network has lists or dictionaries that are longer and that matter.
const MOST_ELEMENTS: usize = 1 << 16;

impl<'t, 'a> View<'t, 'a> {
    pub(super) fn new(tree: &'t Tree<'a>, value: Value, path: String, offset: usize) -> Self {
        let offset = tree.entry(value).map_or(offset, |entry| entry.offset);
        Self {
            tree,
            value,
            path,
            offset,
        }
    }

    /// The same value under a path of the caller's, for errors.
    pub fn named(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The way from the root, e.g. `G_ema.z_dim`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where the value was made, or what it is part of, in bytes from the beginning. Of texts and bytes,
    /// where they begin.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The value itself. Two views of equal nodes are of the same value.
    pub fn value(&self) -> Value {
        self.value
    }

    /// The node, unless the value is a number.
    pub fn node(&self) -> Option<&'t Node<'a>> {
        self.tree.entry(self.value).map(|entry| &entry.node)
    }

    fn child(&self, value: Value, step: &str) -> Self {
        let mut path = self.path.clone();
        if path.len() + step.len() < LONGEST_PATH {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(step);
        } else if !path.ends_with('…') {
            path.push('…');
        }
        Self::new(self.tree, value, path, self.offset)
    }

    /// An error about this value.
    pub fn error(&self, kind: ReadErrorKind, message: impl Into<String>) -> ReadError {
        ReadError::new(kind, message)
            .at_byte(self.offset)
            .at_path(self.path.as_str())
    }

    /// The error that this value is something else than `expected`.
    pub fn expected(&self, expected: &str) -> ReadError {
        let message = format!("expected {expected}, found {}", self.describe());
        self.error(ReadErrorKind::Unexpected, message)
    }

    /// What the value is, in a few words.
    pub fn describe(&self) -> String {
        let Some(node) = self.node() else {
            return match self.value {
                Value::Bool(value) => if value { "True" } else { "False" }.to_string(),
                Value::Int(value) => value.to_string(),
                Value::Float(value) => format!("{value:?}"),
                Value::None | Value::Node(_) => "None".to_string(),
            };
        };
        match node {
            Node::Long(bytes) => format!("an integer of {} bytes", bytes.len()),
            Node::Text(text) => format!("the text {:?}", shortened(text)),
            Node::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Node::List(list) => format!("a list of {}", list.len()),
            Node::Tuple(list) => format!("a tuple of {}", list.len()),
            Node::Set(list) => format!("a set of {}", list.len()),
            Node::Dict(items) => format!("a dictionary of {}", items.len()),
            Node::Global(_) => format!("the global {}", shortened(&self.callee_name())),
            Node::Object(_) => format!("an object of {}", shortened(&self.callee_name())),
            Node::Persistent(_) => "a value stored elsewhere".to_string(),
        }
    }

    /// Whether it is Python's `None`.
    pub fn is_none(&self) -> bool {
        self.value == Value::None
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&'t str> {
        match self.node() {
            Some(Node::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The integer of up to 64 bits, if it is one.
    pub fn int(&self) -> Option<i64> {
        match self.value {
            Value::Int(value) => Some(value),
            _ => None,
        }
    }

    /// A text.
    ///
    /// # Errors
    /// If the value is none; as for all methods of this kind, the error names the way and what was found.
    pub fn to_text(&self) -> Result<&'t str> {
        self.text().ok_or_else(|| self.expected("a text"))
    }

    /// An integer of at least 0.
    ///
    /// # Errors
    /// If the value is none.
    pub fn to_usize(&self) -> Result<usize> {
        let number = self.int().and_then(|value| usize::try_from(value).ok());
        number.ok_or_else(|| self.expected("an integer of at least 0"))
    }

    /// A number.
    ///
    /// # Errors
    /// If the value is none.
    pub fn to_f64(&self) -> Result<f64> {
        match self.value {
            Value::Int(value) => Ok(value as f64),
            Value::Float(value) => Ok(value),
            _ => Err(self.expected("a number")),
        }
    }

    /// Bytes, in each of the ways in which Python writes them.
    ///
    /// # Errors
    /// If the value is none.
    pub fn to_bytes(&self) -> Result<Cow<'t, [u8]>> {
        match self.node() {
            Some(Node::Bytes(bytes)) => Ok(Cow::Borrowed(bytes)),
            // Python 2 had one type for both.
            Some(Node::Text(text)) => Ok(Cow::Borrowed(text.as_bytes())),
            // Protocol 2 has no bytes, so Python 3 writes them as a text of the same code points.
            Some(Node::Object(_)) if self.is_call_of("_codecs", "encode") => {
                let args = self.args()?.elements()?;
                let [text, encoding] = &args[..] else {
                    return Err(self.expected("a text and its encoding"));
                };
                if encoding.to_text()? != "latin1" {
                    return Err(encoding.expected("the encoding latin1"));
                }
                let bytes = text.to_text()?.chars().map(|c| u8::try_from(c).ok());
                let bytes: Option<Vec<u8>> = bytes.collect();
                Ok(Cow::Owned(
                    bytes.ok_or_else(|| text.expected("a text in latin1"))?,
                ))
            }
            // Without bytes there is no text to encode.
            Some(Node::Object(_))
                if self.is_call_of("__builtin__", "bytes")
                    && self.args()?.elements()?.is_empty() =>
            {
                Ok(Cow::Borrowed(&[]))
            }
            _ => Err(self.expected("bytes")),
        }
    }

    /// The elements of a list, tuple or set.
    ///
    /// # Errors
    /// If the value is none.
    pub fn elements(&self) -> Result<Vec<Self>> {
        match self.node() {
            Some(Node::List(list) | Node::Tuple(list) | Node::Set(list)) => {
                self.check_length(list.len())?;
                let element = |(i, &value): (usize, &Value)| self.child(value, &i.to_string());
                Ok(list.iter().enumerate().map(element).collect())
            }
            _ => Err(self.expected("a list or tuple")),
        }
    }

    /// The elements of a list or tuple of integers of at least 0.
    ///
    /// # Errors
    /// If the value is none.
    pub fn to_sizes(&self) -> Result<Vec<usize>> {
        self.elements()?.iter().map(Self::to_usize).collect()
    }

    /// The items of a dictionary, or of an object that is filled like one (`OrderedDict`), with texts as
    /// keys. Others are left out.
    ///
    /// # Errors
    /// If the value is none.
    pub fn items(&self) -> Result<Vec<(&'t str, Self)>> {
        let pairs = self.pairs()?;
        let mut items = Vec::with_capacity(pairs.len());
        for &(key, value) in pairs.iter() {
            if let Some(Node::Text(key)) = self.tree.entry(key).map(|entry| &entry.node) {
                items.push((&**key, self.child(value, key)));
            }
        }
        Ok(items)
    }

    fn check_length(&self, length: usize) -> Result<()> {
        if length > MOST_ELEMENTS {
            let message = format!("expected at most {MOST_ELEMENTS} elements, found {length}");
            return Err(self.error(ReadErrorKind::Limit, message));
        }
        Ok(())
    }

    /// Keys and values.
    fn pairs(&self) -> Result<Cow<'t, [(Value, Value)]>> {
        match self.node() {
            Some(Node::Dict(items)) => {
                self.check_length(items.len())?;
                Ok(Cow::Borrowed(items))
            }
            Some(Node::Object(object)) => {
                self.check_length(object.items.len())?;
                // Python 2 gives an ordered dictionary its items as a list of lists.
                let given = self.child(object.args, "args").elements();
                let given = given.unwrap_or_default().into_iter().next_back();
                let given = given.and_then(|list| list.elements().ok());
                let mut pairs = Vec::new();
                for pair in given.unwrap_or_default() {
                    if let Ok([key, value]) =
                        <[Self; 2]>::try_from(pair.elements().unwrap_or_default())
                    {
                        pairs.push((key.value, value.value));
                    }
                }
                if pairs.is_empty() {
                    return Ok(Cow::Borrowed(&object.items));
                }
                pairs.extend(&object.items);
                Ok(Cow::Owned(pairs))
            }
            _ => Err(self.expected("a dictionary")),
        }
    }

    /// The value under a key of a dictionary, if there is one and it isn't `None`.
    pub fn get(&self, key: &str) -> Option<Self> {
        let pairs = self.pairs().ok()?;
        let is_key = |&&(found, _): &&(Value, Value)| {
            let found = self.tree.entry(found).map(|entry| &entry.node);
            matches!(found, Some(Node::Text(found)) if found == key)
        };
        let &(_, value) = pairs.iter().rev().find(is_key)?;
        (value != Value::None).then(|| self.child(value, key))
    }

    /// The value under a key of a dictionary.
    ///
    /// # Errors
    /// If the value is no dictionary, or there is none under that key.
    pub fn field(&self, key: &str) -> Result<Self> {
        self.pairs()?;
        self.get(key).ok_or_else(|| {
            let message = format!("expected a value for {key:?}, found none");
            self.error(ReadErrorKind::Unexpected, message)
        })
    }

    /// The object, if it is one.
    pub fn object(&self) -> Option<&'t Object> {
        match self.node() {
            Some(Node::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Whether it is an object of that class, or made by that function.
    pub fn is_call_of(&self, module: &str, name: &str) -> bool {
        self.callee() == Some((module, name))
    }

    /// Module and name of the class or function of an object, or of a global itself.
    pub fn callee(&self) -> Option<(&'t str, &'t str)> {
        let node = match self.node()? {
            Node::Object(object) => &self.tree.entry(object.callee)?.node,
            node => node,
        };
        match node {
            Node::Global(names) => Some((&names.0, &names.1)),
            _ => None,
        }
    }

    fn callee_name(&self) -> String {
        match self.callee() {
            Some((module, name)) => format!("{module}.{name}"),
            None => "something that was itself made by a call".to_string(),
        }
    }

    /// The arguments of an object.
    ///
    /// # Errors
    /// If the value is no object.
    pub fn args(&self) -> Result<Self> {
        let object = self.object().ok_or_else(|| self.expected("an object"))?;
        Ok(self.same_path(object.args))
    }

    /// The state of an object, if it was given one.
    pub fn state(&self) -> Option<Self> {
        Some(self.same_path(self.object()?.state?))
    }

    /// The identification of a value that is stored outside of the pickle.
    pub fn persistent(&self) -> Option<Self> {
        match self.node()? {
            Node::Persistent(id) => Some(self.same_path(*id)),
            _ => None,
        }
    }

    /// Arguments and state have no name of their own in a path.
    fn same_path(&self, value: Value) -> Self {
        Self::new(self.tree, value, self.path.clone(), self.offset)
    }

    /// The value as JSON, for people to read: objects are their names, bytes their length, and what is beyond
    /// a thousand values or twenty levels is left out.
    pub fn to_json(&self) -> Json {
        self.summary(20, &mut 1000)
    }

    fn summary(&self, levels: usize, left: &mut usize) -> Json {
        if levels == 0 || *left == 0 {
            return "…".into();
        }
        *left -= 1;
        match (self.value, self.node()) {
            (Value::None, _) => Json::Null,
            (Value::Bool(value), _) => value.into(),
            (Value::Int(value), _) => value.into(),
            (Value::Float(value), _) => value.into(),
            (_, Some(Node::Text(text))) => shortened(text).into_owned().into(),
            (_, Some(Node::List(list) | Node::Tuple(list) | Node::Set(list))) => {
                let mut elements = Vec::new();
                for &value in list {
                    if *left == 0 {
                        elements.push("…".into());
                        break;
                    }
                    elements.push(self.same_path(value).summary(levels - 1, left));
                }
                Json::Array(elements)
            }
            (_, Some(Node::Dict(items))) => self.summary_of_items(items, levels, left),
            (_, Some(Node::Object(object))) if !object.items.is_empty() => {
                self.summary_of_items(&object.items, levels, left)
            }
            _ => format!("<{}>", self.describe()).into(),
        }
    }

    fn summary_of_items(&self, items: &[(Value, Value)], levels: usize, left: &mut usize) -> Json {
        let mut map = Map::new();
        for &(key, value) in items {
            if *left == 0 {
                map.insert("…".to_string(), "…".into());
                break;
            }
            let key = self.same_path(key);
            let key = match key.text() {
                Some(text) => shortened(text).into_owned(),
                None => key.describe(),
            };
            map.insert(key, self.same_path(value).summary(levels - 1, left));
        }
        Json::Object(map)
    }
}

/// The beginning of a text.
fn shortened(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => Cow::Borrowed(text),
        Some((end, _)) => {
            let mut shown = text[..end].to_string();
            let _ = write!(shown, "… ({} bytes)", text.len());
            Cow::Owned(shown)
        }
    }
}
