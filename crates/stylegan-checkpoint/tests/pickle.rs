//! Pickles of every protocol, well-formed and not.

use stylegan_checkpoint::pickle::{Limits, Node, ReadErrorKind, Tree, View, parse};

fn tree(bytes: &[u8]) -> Tree<'_> {
    let (tree, end) = parse(bytes, 0, &Limits::default()).unwrap();
    assert_eq!(end, bytes.len());
    tree
}

fn error(bytes: &[u8]) -> String {
    parse(bytes, 0, &Limits::default()).unwrap_err().to_string()
}

fn error_within(bytes: &[u8], limits: Limits) -> (ReadErrorKind, String) {
    let error = parse(bytes, 0, &limits).unwrap_err();
    (error.kind, error.to_string())
}

/// `{"a": 1, "b": [True, None, 0.5, "é"], "c": (b"\0\xff", -2)}` as Python's protocols write it.
#[test]
fn all_protocols_give_the_same_values() {
    let protocols: [&[u8]; 4] = [
        // 0
        b"(dp0\nVa\np1\nI1\nsVb\np2\n(lp3\nI01\naNaF0.5\naV\xe9\np4\nasVc\np5\n(c_codecs\nencode\np6\n\
          (V\x00\xff\np7\nVlatin1\np8\ntp9\nRp10\nI-2\ntp11\ns.",
        // 2
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02]q\x03(\x88NG?\xe0\x00\x00\
          \x00\x00\x00\x00X\x02\x00\x00\x00\xc3\xa9q\x04eX\x01\x00\x00\x00cq\x05c_codecs\nencode\nq\x06X\
          \x03\x00\x00\x00\x00\xc3\xbfq\x07X\x06\x00\x00\x00latin1q\x08\x86q\tRq\nJ\xfe\xff\xff\xff\x86q\x0bu.",
        // 4
        b"\x80\x04\x95\x27\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94K\x01\x8c\x01b\x94]\x94(\x88NG?\
          \xe0\x00\x00\x00\x00\x00\x00\x8c\x02\xc3\xa9\x94e\x8c\x01c\x94C\x02\x00\xff\x94J\xfe\xff\xff\
          \xff\x86\x94u.",
        // 5, with a bytearray and long forms of the rest
        b"\x80\x05}\x94(\x8d\x01\x00\x00\x00\x00\x00\x00\x00aL1L\nX\x01\x00\x00\x00b]\x94(I01\nNF0.5\n\
          \x8c\x02\xc3\xa9e\x8c\x01c\x96\x02\x00\x00\x00\x00\x00\x00\x00\x00\xff\x8a\x01\xfe\x86u.",
    ];
    for (i, bytes) in protocols.into_iter().enumerate() {
        let tree = tree(bytes);
        let root = tree.root();
        assert_eq!(root.items().unwrap().len(), 3, "{i}");
        assert_eq!(root.field("a").unwrap().to_usize().unwrap(), 1, "{i}");
        let b = root.field("b").unwrap().elements().unwrap();
        assert_eq!(b[0].bool(), Some(true), "{i}");
        assert!(b[1].is_none(), "{i}");
        assert_eq!(b[2].to_f64().unwrap(), 0.5, "{i}");
        assert_eq!(b[3].to_text().unwrap(), "é", "{i}");
        let c = root.field("c").unwrap().elements().unwrap();
        assert_eq!(*c[0].to_bytes().unwrap(), [0, 0xff], "{i}");
        assert_eq!(c[1].int(), Some(-2), "{i}");
    }
}

#[test]
fn strings_of_python_2_are_texts_or_bytes() {
    let tree = tree(b"(lS'it\\'s \\x41\\n'\naU\x02\xff\x00aT\x01\x00\x00\x00bap0\n.");
    let elements = tree.root().elements().unwrap();
    assert_eq!(elements[0].to_text().unwrap(), "it's A\n");
    assert_eq!(*elements[1].to_bytes().unwrap(), [0xff, 0]);
    assert_eq!(elements[1].text(), None);
    assert_eq!(*elements[2].to_bytes().unwrap(), *b"b");
}

#[test]
fn large_integers_keep_their_bytes() {
    let tree = tree(b"\x80\x02(\x8a\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x8a\x0a\x6c\xfc\x9cF\xf9 j\xa8P\x19L18446744073709551616L\nt.");
    let elements = tree.root().elements().unwrap();
    assert_eq!(elements[0].int(), Some(0));
    assert_eq!(elements[1].int(), Some(i64::MAX));
    let Some(Node::Long(bytes)) = elements[2].node() else {
        panic!("{}", elements[2].describe())
    };
    assert_eq!(bytes.len(), 10);
    assert_eq!(elements[3].describe(), "an integer of 16 bytes");
    let error = elements[3].to_usize().unwrap_err().to_string();
    assert_eq!(
        error,
        "byte 27, at 3: expected an integer of at least 0, found an integer of 16 bytes"
    );
}

/// `os.system("rm -rf /")`, in each way in which a pickle can say it.
#[test]
fn calls_are_data() {
    let pickles: [&[u8]; 5] = [
        b"cos\nsystem\n(S'rm -rf /'\ntR.",
        b"(S'rm -rf /'\nios\nsystem\n.",
        b"(cos\nsystem\nS'rm -rf /'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08rm -rf /\x85\x81.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08rm -rf /\x85}\x92.",
    ];
    for bytes in pickles {
        let tree = tree(bytes);
        let root = tree.root();
        assert_eq!(root.callee(), Some(("os", "system")));
        assert_eq!(root.describe(), "an object of os.system");
        let args = root.args().unwrap().elements().unwrap();
        assert_eq!(args[0].to_text().unwrap(), "rm -rf /");
    }
}

#[test]
fn what_would_be_done_to_an_object_is_kept_with_it() {
    // OrderedDict([("a", 1)]) with an item and a state; a deque with elements
    let tree = tree(
        b"\x80\x02ccollections\nOrderedDict\n]X\x01\x00\x00\x00aK\x01\x86a\x85RX\x01\x00\x00\x00bK\x02s}X\x01\
          \x00\x00\x00sK\x03sbccollections\ndeque\n)R(K\x04K\x05e\x86.",
    );
    let elements = tree.root().elements().unwrap();
    let items = elements[0].items().unwrap();
    let items: Vec<_> = items
        .iter()
        .map(|(key, value)| (*key, value.int()))
        .collect();
    assert_eq!(items, [("a", Some(1)), ("b", Some(2))]);
    let state = elements[0].state().unwrap();
    assert_eq!(state.field("s").unwrap().int(), Some(3));
    assert_eq!(elements[1].object().unwrap().elements.len(), 2);
}

#[test]
fn the_memo_shares_values_and_may_close_circles() {
    // a = []; a.append(a); (a, a)
    let bytes = b"\x80\x02]q\x00h\x00ah\x00\x86.";
    let tree = tree(bytes);
    assert_eq!(tree.len(), 2);
    let pair = tree.root().elements().unwrap();
    assert_eq!(pair[0].value(), pair[1].value());
    let inner = pair[0].elements().unwrap();
    assert_eq!(inner[0].value(), pair[0].value());
    // A path through it is cut off.
    let mut view = pair[0].clone();
    for _ in 0..1000 {
        view = view.elements().unwrap().remove(0);
    }
    assert!(view.path().len() < 300, "{}", view.path().len());
    assert!(tree.root().to_json().to_string().len() < 1000);
}

#[test]
fn of_equal_keys_the_last_one_counts_and_none_is_no_value() {
    let tree =
        tree(b"\x80\x02}(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02X\x01\x00\x00\x00bNu.");
    let root = tree.root();
    assert_eq!(root.field("a").unwrap().int(), Some(2));
    assert!(root.get("b").is_none());
    assert_eq!(
        root.field("c").unwrap_err().to_string(),
        "byte 2: expected a value for \"c\", found none"
    );
}

#[test]
fn values_of_another_type_are_errors_that_name_the_way_to_them() {
    // {"a": {"b": ("x", 1.5)}}
    let tree = tree(b"\x80\x02}X\x01\x00\x00\x00a}X\x01\x00\x00\x00bX\x01\x00\x00\x00xG?\xf8\x00\x00\x00\x00\x00\x00\x86ss.");
    let b = tree.root().field("a").unwrap().field("b").unwrap();
    let elements = b.elements().unwrap();
    let cases: [(String, &str); 6] = [
        (
            b.to_text().unwrap_err().to_string(),
            "byte 31, at a.b: expected a text, found a tuple of 2",
        ),
        (
            b.to_sizes().unwrap_err().to_string(),
            "byte 21, at a.b.0: expected an integer of at least 0, found the text \"x\"",
        ),
        (
            elements[1].to_usize().unwrap_err().to_string(),
            "byte 31, at a.b.1: expected an integer of at least 0, found 1.5",
        ),
        (
            elements[0].to_f64().unwrap_err().to_string(),
            "byte 21, at a.b.0: expected a number, found the text \"x\"",
        ),
        (
            elements[1].elements().unwrap_err().to_string(),
            "byte 31, at a.b.1: expected a list or tuple, found 1.5",
        ),
        (
            b.field("c").unwrap_err().to_string(),
            "byte 31, at a.b: expected a dictionary, found a tuple of 2",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn damaged_pickles_are_errors_that_say_where_and_what() {
    let cases: [(&[u8], &str); 27] = [
        (
            b"",
            "byte 0: expected 1 bytes of an instruction, found 0 to the end of the file",
        ),
        (
            b"\x80\x02",
            "byte 2: expected 1 bytes of an instruction, found 0 to the end of the file",
        ),
        (
            b"\x80\x06.",
            "byte 0: expected a pickle of protocol 0 to 5, found 6",
        ),
        (
            b"\xff",
            "byte 0: expected an instruction of a pickle, found 0xff",
        ),
        (b".", "byte 0: expected a value on the stack, found none"),
        (
            b"NN.",
            "byte 2: expected one value at the end, found 1 more",
        ),
        (
            b"(N.",
            "byte 2: expected one value at the end, found 1 more",
        ),
        (b"Nt.", "byte 1: expected a mark on the stack, found none"),
        (b"N\x86.", "byte 1: expected 2 values on the stack, found 1"),
        (
            b"N(N\x86.",
            "byte 3: expected 2 values on the stack, found 1",
        ),
        (
            b"}(Nu.",
            "byte 3: expected keys and values in turn, found 1 values",
        ),
        (
            b"(Nd.",
            "byte 2: expected keys and values in turn, found 1 values",
        ),
        (
            b"NNa.",
            "byte 2: expected something that can be filled, found another value",
        ),
        (
            b")NNs.",
            "byte 3: expected something that can be filled, found another value",
        ),
        (
            b"]Nb.",
            "byte 2: expected something that can be filled, found another value",
        ),
        (
            b"h\x05.",
            "byte 0: expected a value at 5 in the memo, found none",
        ),
        (
            b"g7\n.",
            "byte 0: expected a value at 7 in the memo, found none",
        ),
        (
            b"Nq",
            "byte 1: expected 1 bytes of a place in the memo, found 0 to the end of the file",
        ),
        (
            b"I12",
            "byte 0: expected a number and the end of its line, found the end of the file",
        ),
        (b"Itwelve\n.", "byte 0: expected a number, found \"twelve\""),
        (b"Fx\n.", "byte 0: expected a number, found \"x\""),
        (b"S'a\n.", "byte 0: expected a text in quotes"),
        (b"V\\u12\n.", "byte 0: a text has a wrong escape"),
        (
            b"X\x10\x00\x00\x00abc",
            "byte 0: expected 16 bytes of a text, found 3 to the end of the file",
        ),
        (
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff",
            "byte 0: expected 18446744073709551615 bytes of bytes, found 0 to the end of the file",
        ),
        (
            b"NN\x93.",
            "byte 2: expected the module of a global to be a text",
        ),
        (b"(o.", "byte 1: a call of nothing"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(error(bytes), expected, "{bytes:?}");
    }
    assert_eq!(
        error(b"\x82\x01."),
        "byte 0: expected names of classes, found a number of Python's extension registry"
    );
    assert_eq!(
        error(b"\x97."),
        "byte 0: expected all data in the file, found a separate buffer"
    );
}

#[test]
fn limits_are_kept_and_named() {
    let limits = || Limits {
        depth: 3,
        memo: 2,
        stack: 4,
        nodes: 5,
        ..Limits::default()
    };
    let cases: [(&[u8], &str); 6] = [
        (
            b")\x85\x85\x85\x85.",
            "byte 3: expected at most 3 levels of nested values, found more",
        ),
        (
            b"Nq\x00q\x01q\x02.",
            "byte 5: expected at most 2 values in the memo, found more",
        ),
        (
            b"NNNNN",
            "byte 4: expected at most 4 values on the stack, found more",
        ),
        (b"((((((", "byte 4: expected at most 4 marks, found more"),
        (
            b")0)0)0)0)0)0",
            "byte 10: expected at most 5 values, found more",
        ),
        // Filled from the inside out.
        (
            b"]]])\x85aaa.",
            "byte 6: expected at most 3 levels of nested values, found more",
        ),
    ];
    for (bytes, expected) in cases {
        let (kind, message) = error_within(bytes, limits());
        assert_eq!(
            (kind, &message[..]),
            (ReadErrorKind::Limit, expected),
            "{bytes:?}"
        );
    }
}

#[test]
fn json_for_people_is_short_whatever_the_value() {
    // Twenty tuples, each of two times the one before: a million leaves, twenty nodes.
    let mut bytes = b"K\x01".to_vec();
    for _ in 0..20 {
        bytes.extend(b"2\x86");
    }
    bytes.push(b'.');
    let tree = tree(&bytes);
    assert_eq!(tree.len(), 20);
    let json = tree.root().to_json().to_string();
    assert!(json.len() < 20_000, "{}", json.len());
    let view: View = tree.root();
    assert_eq!(view.describe(), "a tuple of 2");
}
