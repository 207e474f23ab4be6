//! The stack machine.

use std::borrow::Cow;
use std::collections::HashMap;

use super::Limits;
use super::error::{ReadError, ReadErrorKind, Result};
use super::tree::{Entry, Node, Object, Tree, Value};

/// Reads one pickle from `input`, beginning at byte `start`; returns it and where it ends.
///
/// # Errors
/// If the pickle ends early, is damaged, exceeds a limit, or needs something from outside of the file (a
/// registered extension or a separate buffer). Errors give the offset in `input`.
pub fn parse<'a>(input: &'a [u8], start: usize, limits: &Limits) -> Result<(Tree<'a>, usize)> {
    let mut machine = Machine {
        input,
        position: start,
        opcode_at: start,
        limits,
        entries: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = machine.run()?;
    let Machine {
        entries, position, ..
    } = machine;
    Ok((Tree { entries, root }, position))
}

struct Machine<'a, 'l> {
    input: &'a [u8],
    position: usize,
    /// Where the instruction that is being executed began.
    opcode_at: usize,
    limits: &'l Limits,
    entries: Vec<Entry<'a>>,
    stack: Vec<Value>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
}

/// Names as in Python's `pickletools`.
impl<'a> Machine<'a, '_> {
    fn run(&mut self) -> Result<Value> {
        loop {
            self.opcode_at = self.position;
            let [opcode] = self.take("an instruction")?;
            match opcode {
                // PROTO
                0x80 => {
                    let [version] = self.take("the protocol version")?;
                    if version > 5 {
                        return Err(self.unsupported(format!(
                            "expected a pickle of protocol 0 to 5, found {version}"
                        )));
                    }
                }
                // FRAME
                0x95 => {
                    let length = self.length::<8>("the length of a frame")?;
                    self.check_left(length, "a frame")?;
                }
                // STOP
                b'.' => return self.stop(),

                // NONE, NEWTRUE, NEWFALSE
                b'N' => self.push(Value::None)?,
                0x88 => self.push(Value::Bool(true))?,
                0x89 => self.push(Value::Bool(false))?,
                // INT, LONG, BININT, BININT1, BININT2, LONG1, LONG4
                b'I' => {
                    let value = match self.line("a number")? {
                        b"00" => Value::Bool(false),
                        b"01" => Value::Bool(true),
                        digits => self.integer(digits)?,
                    };
                    self.push(value)?;
                }
                b'L' => {
                    let digits = self.line("a number")?;
                    let digits = digits.strip_suffix(b"L").unwrap_or(digits);
                    let value = self.integer(digits)?;
                    self.push(value)?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.take("a number")?);
                    self.push(Value::Int(value.into()))?;
                }
                b'K' => {
                    let [value] = self.take("a number")?;
                    self.push(Value::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.take("a number")?);
                    self.push(Value::Int(value.into()))?;
                }
                0x8a => self.long::<1>()?,
                0x8b => self.long::<4>()?,
                // FLOAT, BINFLOAT
                b'F' => {
                    let line = self.line("a number")?;
                    let number = std::str::from_utf8(line).ok().and_then(|s| s.parse().ok());
                    let number = number.ok_or_else(|| self.bad_number(line))?;
                    self.push(Value::Float(number))?;
                }
                b'G' => {
                    let number = f64::from_be_bytes(self.take("a number")?);
                    self.push(Value::Float(number))?;
                }

                // STRING, BINSTRING, SHORT_BINSTRING
                b'S' => self.quoted_string()?,
                b'T' => self.python2_string::<4>()?,
                b'U' => self.python2_string::<1>()?,
                // UNICODE, SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
                b'V' => {
                    let at = self.position;
                    let text = raw_unicode_escape(self.line("a text")?);
                    let text = text.ok_or_else(|| self.damaged("a text has a wrong escape"))?;
                    self.push_node_at(Node::Text(Cow::Owned(text)), at)?;
                }
                0x8c => self.text::<1>()?,
                b'X' => self.text::<4>()?,
                0x8d => self.text::<8>()?,
                // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
                b'C' => self.bytes::<1>()?,
                b'B' => self.bytes::<4>()?,
                0x8e | 0x96 => self.bytes::<8>()?,

                // EMPTY_LIST, LIST, APPEND, APPENDS
                b']' => self.push_node(Node::List(Vec::new()))?,
                b'l' => {
                    let elements = self.pop_to_mark()?;
                    self.push_node(Node::List(elements))?;
                }
                b'a' => {
                    let element = self.pop()?;
                    self.append(vec![element])?;
                }
                b'e' => {
                    let elements = self.pop_to_mark()?;
                    self.append(elements)?;
                }
                // EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3
                b')' => self.push_node(Node::Tuple(Vec::new()))?,
                b't' => {
                    let elements = self.pop_to_mark()?;
                    self.push_node(Node::Tuple(elements))?;
                }
                0x85..=0x87 => {
                    let elements = self.pop_many(usize::from(opcode - 0x84))?;
                    self.push_node(Node::Tuple(elements))?;
                }
                // EMPTY_DICT, DICT, SETITEM, SETITEMS
                b'}' => self.push_node(Node::Dict(Vec::new()))?,
                b'd' => {
                    let items = self.pop_to_mark()?;
                    let items = self.pairs(&items)?;
                    self.push_node(Node::Dict(items))?;
                }
                b's' => {
                    let items = self.pop_many(2)?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.pop_to_mark()?;
                    self.set_items(&items)?;
                }
                // EMPTY_SET, ADDITEMS, FROZENSET
                0x8f => self.push_node(Node::Set(Vec::new()))?,
                0x90 => {
                    let elements = self.pop_to_mark()?;
                    self.append(elements)?;
                }
                0x91 => {
                    let elements = self.pop_to_mark()?;
                    self.push_node(Node::Set(elements))?;
                }

                // POP, DUP, MARK, POP_MARK
                b'0' => {
                    // A mark may be on top.
                    if self.marks.last() == Some(&self.stack.len()) {
                        self.marks.pop();
                    } else {
                        self.pop()?;
                    }
                }
                b'2' => {
                    let top = self.top()?;
                    self.push(top)?;
                }
                b'(' => {
                    self.check_limit("marks", self.marks.len(), self.limits.stack)?;
                    self.marks.push(self.stack.len());
                }
                b'1' => {
                    self.pop_to_mark()?;
                }

                // GET, BINGET, LONG_BINGET
                b'g' => {
                    let index = self.memo_index()?;
                    self.get(index)?;
                }
                b'h' => {
                    let index = self.length::<1>("a place in the memo")?;
                    self.get(index as u64)?;
                }
                b'j' => {
                    let index = self.length::<4>("a place in the memo")?;
                    self.get(index as u64)?;
                }
                // PUT, BINPUT, LONG_BINPUT, MEMOIZE
                b'p' => {
                    let index = self.memo_index()?;
                    self.put(index)?;
                }
                b'q' => {
                    let index = self.length::<1>("a place in the memo")?;
                    self.put(index as u64)?;
                }
                b'r' => {
                    let index = self.length::<4>("a place in the memo")?;
                    self.put(index as u64)?;
                }
                0x94 => self.put(self.memo.len() as u64)?,

                // GLOBAL, STACK_GLOBAL
                b'c' => self.global()?,
                0x93 => {
                    let names = self.pop_many(2)?;
                    let module = self.name_of(names[0], "the module of a global")?;
                    let name = self.name_of(names[1], "the name of a global")?;
                    self.push_node(Node::Global(Box::new((module, name))))?;
                }
                // REDUCE, NEWOBJ
                b'R' | 0x81 => {
                    let call = self.pop_many(2)?;
                    self.call(call[0], call[1], Value::None)?;
                }
                // NEWOBJ_EX
                0x92 => {
                    let call = self.pop_many(3)?;
                    self.call(call[0], call[1], call[2])?;
                }
                // INST, OBJ
                b'i' => {
                    let args = self.pop_to_mark()?;
                    self.global()?;
                    self.push_node(Node::Tuple(args))?;
                    let call = self.pop_many(2)?;
                    self.call(call[0], call[1], Value::None)?;
                }
                b'o' => {
                    let mut parts = self.pop_to_mark()?.into_iter();
                    let callee = parts.next();
                    let callee = callee.ok_or_else(|| self.damaged("a call of nothing"))?;
                    self.push_node(Node::Tuple(parts.collect()))?;
                    let args = self.pop()?;
                    self.call(callee, args, Value::None)?;
                }
                // BUILD
                b'b' => self.build()?,
                // PERSID, BINPERSID
                b'P' => {
                    let at = self.position;
                    let id = String::from_utf8_lossy(self.line("a persistent id")?);
                    self.push_node_at(Node::Text(id), at)?;
                    let id = self.pop()?;
                    self.push_node(Node::Persistent(id))?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    self.push_node(Node::Persistent(id))?;
                }
                // EXT1, EXT2, EXT4
                0x82..=0x84 => {
                    return Err(self.unsupported(
                        "expected names of classes, found a number of Python's extension registry",
                    ));
                }
                // NEXT_BUFFER, READONLY_BUFFER
                0x97 | 0x98 => {
                    return Err(
                        self.unsupported("expected all data in the file, found a separate buffer")
                    );
                }
                unknown => {
                    return Err(self.damaged(format!(
                        "expected an instruction of a pickle, found {unknown:#04x}"
                    )));
                }
            }
        }
    }

    fn stop(&mut self) -> Result<Value> {
        let root = self.pop()?;
        match self.stack.len() + self.marks.len() {
            0 => Ok(root),
            n => Err(self.damaged(format!("expected one value at the end, found {n} more"))),
        }
    }

    // Input.

    fn error(&self, kind: ReadErrorKind, message: impl Into<String>) -> ReadError {
        ReadError::new(kind, message).at_byte(self.opcode_at)
    }

    fn damaged(&self, message: impl Into<String>) -> ReadError {
        self.error(ReadErrorKind::Damaged, message)
    }

    fn unsupported(&self, message: impl Into<String>) -> ReadError {
        self.error(ReadErrorKind::Unsupported, message)
    }

    fn bad_number(&self, digits: &[u8]) -> ReadError {
        let digits = String::from_utf8_lossy(&digits[..digits.len().min(40)]).into_owned();
        self.damaged(format!("expected a number, found {digits:?}"))
    }

    fn check_left(&self, length: usize, what: &str) -> Result<()> {
        let left = self.input.len().saturating_sub(self.position);
        if length > left {
            return Err(self.error(
                ReadErrorKind::Truncated,
                format!("expected {length} bytes of {what}, found {left} to the end of the file"),
            ));
        }
        Ok(())
    }

    fn check_limit(&self, what: &str, found: usize, most: usize) -> Result<()> {
        if found >= most {
            return Err(self.error(
                ReadErrorKind::Limit,
                format!("expected at most {most} {what}, found more"),
            ));
        }
        Ok(())
    }

    fn slice(&mut self, length: usize, what: &str) -> Result<&'a [u8]> {
        self.check_left(length, what)?;
        let slice = &self.input[self.position..self.position + length];
        self.position += length;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.slice(N, what)?);
        Ok(bytes)
    }

    /// An unsigned little-endian number of N bytes.
    fn length<const N: usize>(&mut self, what: &str) -> Result<usize> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.take::<N>(what)?);
        // Beyond the address space is beyond the end of the file as well.
        Ok(usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX))
    }

    /// Up to the end of the line.
    fn line(&mut self, what: &str) -> Result<&'a [u8]> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(self.error(
                ReadErrorKind::Truncated,
                format!("expected {what} and the end of its line, found the end of the file"),
            ));
        };
        self.position += length + 1;
        Ok(&rest[..length])
    }

    // The stack.

    fn push(&mut self, value: Value) -> Result<()> {
        self.check_limit("values on the stack", self.stack.len(), self.limits.stack)?;
        self.stack.push(value);
        Ok(())
    }

    fn push_node(&mut self, node: Node<'a>) -> Result<()> {
        self.push_node_at(node, self.opcode_at)
    }

    fn push_node_at(&mut self, node: Node<'a>, offset: usize) -> Result<()> {
        let most = self.limits.nodes.min(u32::MAX as usize);
        self.check_limit("values", self.entries.len(), most)?;
        let depth = match &node {
            Node::List(values) | Node::Tuple(values) | Node::Set(values) => {
                self.depth_above(values.iter().copied())
            }
            Node::Dict(items) => self.depth_above(items.iter().flat_map(|&(k, v)| [k, v])),
            Node::Object(object) => self.depth_above([object.callee, object.args, object.kwargs]),
            Node::Persistent(id) => self.depth_above([*id]),
            Node::Long(_) | Node::Text(_) | Node::Bytes(_) | Node::Global(_) => 0,
        };
        self.check_limit("levels of nested values", depth, self.limits.depth)?;
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            node,
            offset,
            depth,
        });
        self.push(Value::Node(index))
    }

    /// One more than the deepest of the values.
    fn depth_above(&self, values: impl IntoIterator<Item = Value>) -> usize {
        let depth = |value| match value {
            Value::Node(i) => 1 + self.entries.get(i as usize).map_or(0, |entry| entry.depth),
            _ => 0,
        };
        values.into_iter().map(depth).max().unwrap_or(0)
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        let found = self.stack.len().saturating_sub(bottom);
        if count > found {
            return Err(self.damaged(format!(
                "expected {count} values on the stack, found {found}"
            )));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    fn pop(&mut self) -> Result<Value> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Value> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.last() {
            Some(&top) if self.stack.len() > bottom => Ok(top),
            _ => Err(self.damaged("expected a value on the stack, found none")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| self.damaged("expected a mark on the stack, found none"))?;
        Ok(self.stack.split_off(mark))
    }

    // The memo.

    fn memo_index(&mut self) -> Result<u64> {
        let line = self.line("a place in the memo")?;
        let index = std::str::from_utf8(line).ok().and_then(|s| s.parse().ok());
        index.ok_or_else(|| self.bad_number(line))
    }

    fn get(&mut self, index: u64) -> Result<()> {
        match self.memo.get(&index) {
            Some(&value) => self.push(value),
            None => Err(self.damaged(format!(
                "expected a value at {index} in the memo, found none"
            ))),
        }
    }

    fn put(&mut self, index: u64) -> Result<()> {
        self.check_limit("values in the memo", self.memo.len(), self.limits.memo)?;
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    // Numbers and texts.

    fn integer(&mut self, digits: &[u8]) -> Result<Value> {
        let number = std::str::from_utf8(digits).ok();
        let number = number.and_then(|digits| digits.trim().parse::<i128>().ok());
        let number = number.ok_or_else(|| self.bad_number(digits))?;
        match i64::try_from(number) {
            Ok(number) => Ok(Value::Int(number)),
            Err(_) => {
                self.push_node(Node::Long(Cow::Owned(number.to_le_bytes().to_vec())))?;
                self.pop()
            }
        }
    }

    /// N bytes of length, then the number in two's complement.
    fn long<const N: usize>(&mut self) -> Result<()> {
        let length = self.length::<N>("the length of a number")?;
        let bytes = self.slice(length, "a number")?;
        if bytes.len() > 8 {
            return self.push_node(Node::Long(Cow::Borrowed(bytes)));
        }
        let negative = bytes.last().is_some_and(|&byte| byte & 0x80 != 0);
        let mut extended = [if negative { 0xff } else { 0 }; 8];
        extended[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(extended)))
    }

    fn text<const N: usize>(&mut self) -> Result<()> {
        let length = self.length::<N>("the length of a text")?;
        let at = self.position;
        let bytes = self.slice(length, "a text")?;
        // Python writes lone surrogates, which are no Unicode, in three bytes each.
        self.push_node_at(Node::Text(String::from_utf8_lossy(bytes)), at)
    }

    fn bytes<const N: usize>(&mut self) -> Result<()> {
        let length = self.length::<N>("the length of bytes")?;
        let at = self.position;
        let bytes = self.slice(length, "bytes")?;
        self.push_node_at(Node::Bytes(Cow::Borrowed(bytes)), at)
    }

    /// Python 2 had one type for texts and bytes.
    fn python2_string<const N: usize>(&mut self) -> Result<()> {
        let length = self.length::<N>("the length of a text")?;
        let at = self.position;
        let bytes = self.slice(length, "a text")?;
        self.push_node_at(text_or_bytes(Cow::Borrowed(bytes)), at)
    }

    fn quoted_string(&mut self) -> Result<()> {
        let at = self.position;
        let line = self.line("a text")?;
        let quoted = match line {
            [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => unescape(inner),
            _ => None,
        };
        let bytes = quoted.ok_or_else(|| self.damaged("expected a text in quotes"))?;
        self.push_node_at(text_or_bytes(Cow::Owned(bytes)), at)
    }

    // Containers.

    fn pairs(&self, items: &[Value]) -> Result<Vec<(Value, Value)>> {
        let (pairs, rest) = items.as_chunks::<2>();
        match rest {
            [] => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(self.damaged(format!(
                "expected keys and values in turn, found {} values",
                items.len()
            ))),
        }
    }

    /// Changes the container on top of the stack, which then contains `children` too.
    fn change(
        &mut self,
        children: &[Value],
        change: impl FnOnce(&mut Node<'a>) -> bool,
    ) -> Result<()> {
        let top = self.top()?;
        let depth = self.depth_above(children.iter().copied());
        // A value inside of itself is no deeper for that.
        if !children.contains(&top) {
            self.check_limit("levels of nested values", depth, self.limits.depth)?;
        }
        let entry = match top {
            Value::Node(i) => self.entries.get_mut(i as usize),
            _ => None,
        };
        let changed = match entry {
            Some(entry) => {
                entry.depth = entry.depth.max(depth.min(self.limits.depth));
                change(&mut entry.node)
            }
            None => false,
        };
        match changed {
            true => Ok(()),
            false => {
                Err(self.damaged("expected something that can be filled, found another value"))
            }
        }
    }

    fn append(&mut self, elements: Vec<Value>) -> Result<()> {
        let children = elements.clone();
        self.change(&children, |node| {
            match node {
                Node::List(list) | Node::Set(list) => list.extend(elements),
                Node::Object(object) => object.elements.extend(elements),
                _ => return false,
            }
            true
        })
    }

    fn set_items(&mut self, items: &[Value]) -> Result<()> {
        let pairs = self.pairs(items)?;
        self.change(items, |node| {
            match node {
                Node::Dict(dict) => dict.extend(pairs),
                Node::Object(object) => object.items.extend(pairs),
                _ => return false,
            }
            true
        })
    }

    // Objects.

    fn global(&mut self) -> Result<()> {
        let module = self.line("the module of a global")?;
        let name = self.line("the name of a global")?;
        let names = (
            String::from_utf8_lossy(module),
            String::from_utf8_lossy(name),
        );
        self.push_node(Node::Global(Box::new(names)))
    }

    fn name_of(&self, value: Value, what: &str) -> Result<Cow<'a, str>> {
        let entry = match value {
            Value::Node(i) => self.entries.get(i as usize),
            _ => None,
        };
        match entry.map(|entry| &entry.node) {
            // An owned text would be copied as often as it is used. It isn't Unicode, or is escaped: no
            // class has such a name.
            Some(Node::Text(Cow::Borrowed(name))) => Ok(Cow::Borrowed(name)),
            _ => Err(self.damaged(format!("expected {what} to be a text"))),
        }
    }

    fn call(&mut self, callee: Value, args: Value, kwargs: Value) -> Result<()> {
        self.push_node(Node::Object(Box::new(Object {
            callee,
            args,
            kwargs,
            state: None,
            items: Vec::new(),
            elements: Vec::new(),
        })))
    }

    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        self.change(&[state], |node| match node {
            Node::Object(object) if object.state.is_none() => {
                object.state = Some(state);
                true
            }
            _ => false,
        })
    }
}

/// A text where it is one.
fn text_or_bytes(bytes: Cow<'_, [u8]>) -> Node<'_> {
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Node::Text(Cow::Borrowed(text)),
            Err(_) => Node::Bytes(Cow::Borrowed(bytes)),
        },
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Node::Text(Cow::Owned(text)),
            Err(error) => Node::Bytes(Cow::Owned(error.into_bytes())),
        },
    }
}

/// The text behind `repr` of Python 2, without its quotes.
fn unescape(inner: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            quoted @ (b'\\' | b'\'' | b'"') => quoted,
            b'x' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                (high * 16 + low) as u8
            }
            _ => return None,
        });
    }
    Some(bytes)
}

/// Latin-1, with `\uXXXX` and `\UXXXXXXXX` for what is not in it.
fn raw_unicode_escape(line: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        if digits == 0 {
            text.push(char::from(byte));
            rest = after;
            continue;
        }
        let code = std::str::from_utf8(after.get(1..1 + digits)?).ok()?;
        let code = u32::from_str_radix(code, 16).ok()?;
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &after[1 + digits..];
    }
    Some(text)
}
