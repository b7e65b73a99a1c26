use super::*;
use serde_json::Value;

/// A file of `json` and `data` zero bytes.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

fn refusal(json: &str, data: usize) -> Problem {
    parse(&file(json, data)).expect_err(json)
}

fn entry(dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

#[test]
fn tensors_come_in_the_order_of_their_bytes() {
    let json = format!(
        r#"{{"__metadata__":{{"format":"pt"}},"b":{},"a":{},"scalar":{},"empty":{}}}   "#,
        entry("F32", "[2,3]", 4, 28),
        entry("BF16", "[2]", 0, 4),
        entry("F8_E4M3", "[]", 28, 29),
        entry("I64", "[0,5]", 28, 28),
    );
    let header = parse(&file(&json, 29)).unwrap();
    let names: Vec<_> = header.tensors.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "empty", "scalar"]);
    let b = &header.tensors[header.index["b"]];
    assert_eq!((b.dtype, b.shape.as_slice(), b.bytes), (StoredDType::F32, &[2, 3][..], 24));
    assert_eq!(b.offset, LENGTH_BYTES + json.len() + 4);
    assert_eq!(header.metadata["format"], "pt");
}

#[test]
fn a_file_without_tensors_is_right() {
    assert!(parse(&file("{}", 0)).unwrap().tensors.is_empty());
}

#[test]
fn escaped_names_are_unescaped() {
    let header = parse(&file(&format!(r#"{{"\u0061\n":{}}}"#, entry("U8", "[1]", 0, 1)), 1));
    assert_eq!(header.unwrap().tensors[0].name, "a\n");
}

#[test]
fn lengths_beyond_the_file_or_the_limit_are_refused() {
    for length in [0u64, 7] {
        let problem = parse(&vec![0; length as usize]).unwrap_err();
        assert_eq!(problem.code, WeightErrorCode::FileLength);
        assert_eq!(
            (problem.expected.as_str(), problem.found),
            ("at least 8 bytes", length.to_string())
        );
    }
    let mut beyond = file("{}", 0);
    beyond[0] = 3;
    let problem = parse(&beyond).unwrap_err();
    assert_eq!(problem.code, WeightErrorCode::HeaderLength);
    assert_eq!(problem.expected, "a header of at most 2 bytes");
    assert_eq!(problem.found, "3");
    beyond[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(parse(&beyond).unwrap_err().code, WeightErrorCode::HeaderLength);
    let mut huge = vec![b' '; LENGTH_BYTES + MAX_HEADER_BYTES + 1];
    huge[..8].copy_from_slice(&(MAX_HEADER_BYTES as u64 + 1).to_le_bytes());
    huge[8] = b'{';
    assert_eq!(parse(&huge).unwrap_err().expected, "a header of at most 100000000 bytes");
}

#[test]
fn headers_that_are_not_the_formats_json_are_refused() {
    let right = entry("U8", "[1]", 0, 1);
    for (json, found) in [
        (String::new(), "none"),
        (" {}".into(), "byte 0x20"),
        ("[]".into(), "byte 0x5b"),
        ("{".into(), "EOF while parsing an object at line 1 column 1"),
        ("{} x".into(), "trailing characters at line 1 column 4"),
        (r#"{"a":1}"#.into(), "invalid type: integer `1`, expected an object with dtype"),
        (r#"{"a":["U8",[1],[0,1]]}"#.into(), "invalid type: sequence, expected an object"),
        (r#"{"a":{}}"#.into(), r#"no "shape""#),
        (r#"{"a":{"dtype":"U8","shape":[]}}"#.into(), r#"no "data_offsets""#),
        (right.replacen('{', r#"{"a":{"extra":1,"#, 1) + "}", r#"the key "extra""#),
        (right.replacen('{', r#"{"a":{"dtype":"U8","#, 1) + "}", r#""dtype" twice"#),
        (right.replacen('{', r#"{"a":{"shape":[1],"#, 1) + "}", r#""shape" twice"#),
        (r#"{"__metadata__":{"a":1}}"#.into(), "invalid type: integer `1`, expected a string"),
        (r#"{"__metadata__":[]}"#.into(), "invalid type: sequence, expected an object of strings"),
        ("{\"\u{1}\":1}".into(), "control character"),
    ] {
        let problem = refusal(&json, 1);
        assert_eq!(problem.code, WeightErrorCode::Header, "{json}");
        assert!(problem.found.starts_with(found), "{json}: {}", problem.found);
    }
    let mut not_utf8 = file(&format!(r#"{{"a":{right}}}"#), 1);
    not_utf8[10] = 0xff;
    assert_eq!(parse(&not_utf8).unwrap_err().code, WeightErrorCode::Header);
}

#[test]
fn numbers_that_are_no_counts_are_refused_with_their_tensor() {
    for number in ["1.0", "1.5", "-1", "1e2", "18446744073709551616", "\"1\"", "null", "true"] {
        for json in [
            format!(r#"{{"the tensor":{}}}"#, entry("U8", &format!("[{number}]"), 0, 1)),
            format!(r#"{{"the tensor":{{"dtype":"U8","shape":[1],"data_offsets":[0,{number}]}}}}"#),
        ] {
            let problem = refusal(&json, 1);
            assert_eq!(problem.code, WeightErrorCode::Header, "{json}");
            assert_eq!(problem.tensor.as_deref(), Some("the tensor"));
            assert!(problem.found.contains("expected u64"), "{}", problem.found);
        }
    }
    for offsets in ["[0]", "[0,1,1]", "1"] {
        let json = format!(r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":{offsets}}}}}"#);
        assert_eq!(refusal(&json, 1).code, WeightErrorCode::Header, "{offsets}");
    }
}

#[test]
fn duplicate_names_are_refused() {
    let tensor = entry("U8", "[1]", 0, 1);
    for json in [
        format!(r#"{{"a":{tensor},"a":{tensor}}}"#),
        format!(r#"{{"a":{tensor},"\u0061":{tensor}}}"#),
        r#"{"__metadata__":{},"__metadata__":{}}"#.to_owned(),
        r#"{"__metadata__":{"k":"1","k":"1"}}"#.to_owned(),
    ] {
        let problem = refusal(&json, 1);
        assert_eq!(problem.code, WeightErrorCode::DuplicateName, "{json}");
        assert!(problem.found.contains(" twice"), "{}", problem.found);
    }
}

#[test]
fn unknown_dtypes_are_refused() {
    let problem = refusal(&format!(r#"{{"a":{}}}"#, entry("F128", "[1]", 0, 16)), 16);
    assert_eq!(problem.code, WeightErrorCode::UnknownDType);
    assert_eq!((problem.tensor.as_deref(), problem.found.as_str()), (Some("a"), "\"F128\""));
    assert!(problem.expected.starts_with("a dtype of F32, F16, BF16, I32, I64, I8, U8, F64"));
}

#[test]
fn of_several_problems_the_first_is_told() {
    let wrong: Vec<String> =
        (0..20).map(|number| format!(r#""t{number}":{}"#, entry("F128", "[1]", 0, 1))).collect();
    let problem = refusal(&format!("{{{}}}", wrong.join(",")), 1);
    assert_eq!(problem.tensor.as_deref(), Some("t0"));
}

#[test]
fn shapes_that_overflow_or_have_too_many_dimensions_are_refused() {
    for (dtype, shape, found) in [
        ("U8", "[1,1,1,1,1,1,1,1,1]", "9"),
        ("U8", "[4294967296,4294967296]", "[4294967296, 4294967296] of U8"),
        ("F32", "[4503599627370496]", "[4503599627370496] of F32"),
        ("F4", "[3]", "[3] of F4"),
    ] {
        let problem = refusal(&format!(r#"{{"a":{}}}"#, entry(dtype, shape, 0, 1)), 1);
        assert_eq!(problem.code, WeightErrorCode::Shape, "{shape}");
        assert_eq!((problem.tensor.as_deref(), problem.found.as_str()), (Some("a"), found));
    }
    assert!(
        parse(&file(&format!(r#"{{"a":{}}}"#, entry("U8", "[1,1,1,1,1,1,1,1]", 0, 1)), 1)).is_ok()
    );
}

#[test]
fn offsets_that_are_not_the_shapes_are_refused() {
    for (begin, end) in [(0, 3), (0, 5), (4, 0), (1, 0), (MAX_COUNT, 3)] {
        let problem = refusal(&format!(r#"{{"a":{}}}"#, entry("F32", "[1]", begin, end)), 4);
        assert_eq!(problem.code, WeightErrorCode::Offsets, "{begin} {end}");
        assert_eq!(problem.expected, "data_offsets 4 apart, for [1] of F32");
        assert_eq!(problem.found, format!("[{begin}, {end}]"));
    }
    let far = refusal(&format!(r#"{{"a":{}}}"#, entry("U8", "[1]", MAX_COUNT - 1, MAX_COUNT)), 4);
    assert_eq!((far.code, far.tensor.as_deref()), (WeightErrorCode::Offsets, Some("a")));
}

#[test]
fn counts_beyond_those_of_javascript_are_refused() {
    let shape = |shape: &str| refusal(&format!(r#"{{"a":{}}}"#, entry("U8", shape, 0, 0)), 0);
    for extent in [MAX_COUNT + 1, u64::MAX] {
        let problem = shape(&format!("[0,{extent}]"));
        assert_eq!((problem.code, problem.tensor.as_deref()), (WeightErrorCode::Header, Some("a")));
        let problem = refusal(&format!(r#"{{"a":{}}}"#, entry("U8", "[1]", extent - 1, extent)), 1);
        assert_eq!(problem.code, WeightErrorCode::Header);
    }
    assert_eq!(shape(&format!("[{MAX_COUNT},2,0]")).code, WeightErrorCode::Shape);
    let most = format!(r#"{{"a":{}}}"#, entry("U8", &format!("[{MAX_COUNT},0]"), 0, 0));
    assert!(parse(&file(&most, 0)).is_ok());
}

#[test]
fn gaps_overlaps_and_bytes_of_no_tensor_are_refused() {
    let two = |a: (u64, u64), b: (u64, u64)| {
        let length = |(begin, end): (u64, u64)| format!("[{}]", end - begin);
        format!(
            r#"{{"a":{},"b":{}}}"#,
            entry("U8", &length(a), a.0, a.1),
            entry("U8", &length(b), b.0, b.1)
        )
    };
    assert!(parse(&file(&two((4, 8), (0, 4)), 8)).is_ok());
    for (a, b, data, tensor, found) in [
        ((0, 4), (5, 8), 8, "b", "5: a gap"),
        ((1, 4), (4, 8), 8, "a", "1: a gap"),
        ((0, 4), (3, 8), 8, "b", "3: an overlap"),
        ((0, 8), (0, 8), 8, "b", "0: an overlap"),
        ((0, 8), (4, 4), 8, "b", "4: an overlap"),
    ] {
        let problem = refusal(&two(a, b), data);
        assert_eq!(problem.code, WeightErrorCode::Offsets);
        assert_eq!((problem.tensor.as_deref(), problem.found.as_str()), (Some(tensor), found));
    }
    for data in [0, 7, 9] {
        let problem = refusal(&two((0, 4), (4, 8)), data);
        assert_eq!(problem.code, WeightErrorCode::FileLength);
        assert!(problem.expected.ends_with("bytes, where the last tensor ends"));
    }
    assert_eq!(refusal("{}", 1).code, WeightErrorCode::FileLength);
}

#[test]
fn pickles_and_lfs_pointers_are_told_from_headers_that_look_alike() {
    let code = |bytes: &[u8]| parse(bytes).unwrap_err().code;
    assert_eq!(
        code(b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl"),
        WeightErrorCode::Pickle
    );
    assert_eq!(code(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), WeightErrorCode::Pickle);
    assert_eq!(code(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), WeightErrorCode::Pickle);
    assert_eq!(code(b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}\x94."), WeightErrorCode::Pickle);
    assert_eq!(code(b"version https://git-lfs.github.com/spec/v1\n"), WeightErrorCode::LfsPointer);
    // 640 = 0x0280 is how a pickle of protocol 2 starts.
    let mut json = format!(r#"{{"a":{}}}"#, entry("U8", "[1]", 0, 1));
    json.push_str(&" ".repeat(640 - json.len()));
    let file = file(&json, 1);
    assert_eq!(file[..2], [0x80, 2]);
    assert!(parse(&file).is_ok());
}

/// Marsaglia's xorshift64, for mutations that are the same in every run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn valid_file(random: &mut Xorshift) -> Vec<u8> {
    let mut begin = 0;
    let mut entries = vec![r#""__metadata__":{"format":"pt","note":"1"}"#.to_owned()];
    for number in 0..1 + random.below(4) {
        let dtype = ["F32", "BF16", "F16", "U8", "I64", "F64"][random.below(6)];
        let shape: Vec<usize> = (0..random.below(4)).map(|_| random.below(4)).collect();
        let bytes = StoredDType::from_name(dtype).unwrap().bytes_of(&shape).unwrap() as u64;
        let tensor = entry(dtype, &format!("{shape:?}"), begin, begin + bytes);
        entries.push(format!(r#""t{number}":{tensor}"#));
        begin += bytes;
    }
    file(&format!("{{{}}}", entries.join(",")), begin as usize)
}

fn mutate(file: &mut Vec<u8>, random: &mut Xorshift) {
    const TOKENS: [&str; 16] = [
        "0", "1", "9", "-", ".5", "e9", "\"", ",", ":", "[", "]", "{", "}", "null", "\"t0\"",
        "\\u0000",
    ];
    let at = random.below(file.len());
    match random.below(6) {
        0 => file[at] = random.below(256) as u8,
        1 => file[at] ^= 1 << random.below(8),
        2 => drop(file.remove(at)),
        3 => file.insert(at, random.below(256) as u8),
        4 => drop(file.splice(at..at, TOKENS[random.below(16)].bytes())),
        _ => file.truncate(at),
    }
    if file.len() >= LENGTH_BYTES && random.below(4) != 0 {
        // Mostly keep the length right, so that mutations reach beyond the first check.
        let header =
            file.iter().rposition(|&byte| byte == b'}').unwrap_or(7).saturating_sub(7) as u64;
        file[..LENGTH_BYTES].copy_from_slice(&header.to_le_bytes());
    }
    if file.is_empty() {
        file.push(0);
    }
}

/// What an accepted file must be, from its JSON as an independent reader sees it.
fn assert_consistent(file: &[u8], header: &Header) {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let data = file.len() - 8 - length;
    let mut owners = vec![0; data];
    let mut names = HashSet::new();
    for (name, value) in json.as_object().unwrap() {
        if name == METADATA_KEY {
            assert!(value.as_object().unwrap().values().all(Value::is_string));
            continue;
        }
        names.insert(name.as_str());
        let shape: Vec<u64> = value["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|extent| extent.as_u64().unwrap())
            .collect();
        let offset = |at: usize| value["data_offsets"][at].as_u64().unwrap() as usize;
        let (begin, end) = (offset(0), offset(1));
        let dtype = StoredDType::from_name(value["dtype"].as_str().unwrap()).unwrap();
        assert_eq!(shape.iter().product::<u64>() as usize * dtype.bits(), (end - begin) * 8);
        owners[begin..end].iter_mut().for_each(|count| *count += 1);
        let entry = &header.tensors[header.index[name]];
        assert_eq!((entry.offset, entry.bytes), (8 + length + begin, end - begin));
    }
    assert!(owners.iter().all(|&count| count == 1), "each byte belongs to one tensor");
    assert_eq!(names, header.tensors.iter().map(|entry| entry.name.as_str()).collect());
}

#[test]
fn mutated_files_never_panic_and_are_never_accepted_inconsistent() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut codes) = (0, HashSet::new());
    for _ in 0..20_000 {
        let mut file = valid_file(&mut random);
        assert_consistent(&file, &parse(&file).unwrap());
        for _ in 0..1 + random.below(3) {
            mutate(&mut file, &mut random);
        }
        match parse(&file) {
            Ok(header) => {
                accepted += 1;
                assert_consistent(&file, &header);
            }
            Err(problem) => drop(codes.insert(problem.code.name())),
        }
    }
    // The mutations are worth something only where they reach every check.
    assert!((100..15_000).contains(&accepted), "{accepted} accepted");
    for code in ["fileLength", "headerLength", "header", "duplicateName", "unknownDtype", "offsets"]
    {
        assert!(codes.contains(code), "no mutation led to {code}: {codes:?}");
    }
}
