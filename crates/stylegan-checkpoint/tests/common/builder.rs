//! Small pickles, written by hand.

/// A value of a pickle of protocol 2.
#[derive(Clone)]
pub struct Pickled(pub Vec<u8>);

impl Pickled {
    pub fn none() -> Self {
        Self(b"N".to_vec())
    }

    pub fn bool(value: bool) -> Self {
        Self(vec![if value { 0x88 } else { 0x89 }])
    }

    pub fn int(value: i64) -> Self {
        let mut bytes = vec![0x8a, 8];
        bytes.extend(value.to_le_bytes());
        Self(bytes)
    }

    pub fn float(value: f64) -> Self {
        let mut bytes = vec![b'G'];
        bytes.extend(value.to_be_bytes());
        Self(bytes)
    }

    pub fn text(text: &str) -> Self {
        let mut bytes = vec![b'X'];
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        Self(bytes)
    }

    pub fn bytes(content: &[u8]) -> Self {
        let mut bytes = vec![b'B'];
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        Self(bytes)
    }

    pub fn global(module: &str, name: &str) -> Self {
        Self(format!("c{module}\n{name}\n").into_bytes())
    }

    fn between(first: &[u8], elements: impl IntoIterator<Item = Self>, last: u8) -> Self {
        let mut bytes = first.to_vec();
        for element in elements {
            bytes.extend(element.0);
        }
        bytes.push(last);
        Self(bytes)
    }

    pub fn tuple(elements: impl IntoIterator<Item = Self>) -> Self {
        Self::between(b"(", elements, b't')
    }

    pub fn list(elements: impl IntoIterator<Item = Self>) -> Self {
        Self::between(b"](", elements, b'e')
    }

    pub fn sizes(sizes: &[i64]) -> Self {
        Self::tuple(sizes.iter().map(|&size| Self::int(size)))
    }

    pub fn dict<'a>(items: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let items = items.into_iter();
        Self::between(
            b"}(",
            items.flat_map(|(key, value)| [Self::text(key), value]),
            b'u',
        )
    }

    /// A call of a function.
    pub fn call(module: &str, name: &str, args: impl IntoIterator<Item = Self>) -> Self {
        let mut bytes = Self::global(module, name).0;
        bytes.extend(Self::tuple(args).0);
        bytes.push(b'R');
        Self(bytes)
    }

    /// The same object with a state.
    pub fn with_state(mut self, state: Self) -> Self {
        self.0.extend(state.0);
        self.0.push(b'b');
        self
    }

    /// A value outside of the pickle.
    pub fn persistent(mut self) -> Self {
        self.0.push(b'Q');
        self
    }

    /// The whole pickle.
    pub fn finish(self) -> Vec<u8> {
        let mut bytes = vec![0x80, 2];
        bytes.extend(self.0);
        bytes.push(b'.');
        bytes
    }
}

/// A NumPy array of that shape, type and content.
pub fn array(shape: &[i64], dtype: &str, content: &[u8]) -> Pickled {
    let order = Pickled::tuple([Pickled::int(3), Pickled::text("<"), Pickled::none()]);
    let dtype = Pickled::call("numpy", "dtype", [Pickled::text(dtype)]).with_state(order);
    let empty = [
        Pickled::global("numpy", "ndarray"),
        Pickled::sizes(&[0]),
        Pickled::bytes(b"b"),
    ];
    Pickled::call("numpy.core.multiarray", "_reconstruct", empty).with_state(Pickled::tuple([
        Pickled::int(1),
        Pickled::sizes(shape),
        dtype,
        Pickled::bool(false),
        Pickled::bytes(content),
    ]))
}

/// A TensorFlow network of StyleGAN's tools or later.
pub fn network<'a>(
    kwargs: impl IntoIterator<Item = (&'a str, Pickled)>,
    components: impl IntoIterator<Item = (&'a str, Pickled)>,
    variables: impl IntoIterator<Item = (&'a str, Pickled)>,
) -> Pickled {
    network_of("dnnlib.tflib.network", kwargs, components, variables)
}

/// A TensorFlow network of the tools that have that module.
pub fn network_of<'a>(
    module: &str,
    kwargs: impl IntoIterator<Item = (&'a str, Pickled)>,
    components: impl IntoIterator<Item = (&'a str, Pickled)>,
    variables: impl IntoIterator<Item = (&'a str, Pickled)>,
) -> Pickled {
    let variable = |(name, value)| Pickled::tuple([Pickled::text(name), value]);
    Pickled::call(module, "Network", []).with_state(Pickled::dict([
        ("version", Pickled::int(4)),
        ("static_kwargs", Pickled::dict(kwargs)),
        ("components", Pickled::dict(components)),
        (
            "variables",
            Pickled::list(variables.into_iter().map(variable)),
        ),
    ]))
}

/// A PyTorch module with its source, as the public tools pickle one.
pub fn module<'a>(
    class: &str,
    parameters: impl IntoIterator<Item = (&'a str, Pickled)>,
    modules: impl IntoIterator<Item = (&'a str, Pickled)>,
) -> Pickled {
    let state = Pickled::dict([
        ("_parameters", Pickled::dict(parameters)),
        ("_buffers", Pickled::dict([])),
        ("_modules", Pickled::dict(modules)),
        ("img_resolution", Pickled::int(256)),
    ]);
    let meta = Pickled::dict([
        ("type", Pickled::text("class")),
        (
            "module_src",
            Pickled::text("import os; os.system('rm -rf /')"),
        ),
        ("class_name", Pickled::text(class)),
        ("state", state),
    ]);
    Pickled::call(
        "torch_utils.persistence",
        "_reconstruct_persistent_obj",
        [meta],
    )
}

/// A PyTorch tensor of a part of a storage.
pub fn tensor(storage: Pickled, first: i64, shape: &[i64], strides: &[i64]) -> Pickled {
    let args = [
        storage,
        Pickled::int(first),
        Pickled::sizes(shape),
        Pickled::sizes(strides),
        Pickled::bool(false),
        Pickled::dict([]),
    ];
    Pickled::call("torch._utils", "_rebuild_tensor_v2", args)
}

/// The identification of a storage.
pub fn storage(class: &str, key: &str, count: i64) -> Pickled {
    Pickled::tuple([
        Pickled::text("storage"),
        Pickled::global("torch", class),
        Pickled::text(key),
        Pickled::text("cpu"),
        Pickled::int(count),
    ])
    .persistent()
}

/// A PyTorch file of before 1.6.
pub fn legacy(root: Pickled, storages: &[(&str, i64, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend(Pickled::int(1001).finish());
    bytes.extend(Pickled::dict([("little_endian", Pickled::bool(true))]).finish());
    bytes.extend(root.finish());
    let keys = storages.iter().map(|(key, _, _)| Pickled::text(key));
    bytes.extend(Pickled::list(keys).finish());
    for (_, count, content) in storages {
        bytes.extend(count.to_le_bytes());
        bytes.extend(*content);
    }
    bytes
}

/// A PyTorch file since 1.6, with entries of the test's.
pub fn zip(entries: &[(&str, &[u8], zip::CompressionMethod)]) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content, method) in entries {
        let options = zip::write::SimpleFileOptions::default().compression_method(*method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}
