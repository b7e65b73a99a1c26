use super::*;
use crate::temporary_folder::TemporaryFolder;

fn safetensors(json: &str, data: &[u8]) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.extend_from_slice(data);
    file
}

#[test]
fn tensors_are_read_in_place_after_the_file_is_closed() {
    let folder = TemporaryFolder::new();
    let json = r#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#;
    let path = folder.file("model.safetensors", &safetensors(json, &[7, 8, 9]));
    let file = WeightFile::open(&path).unwrap();
    assert_eq!(file.path(), path);
    assert_eq!(file.names().collect::<Vec<_>>(), ["a"]);
    assert!(file.metadata().is_empty());
    let entry = file.tensor("a").unwrap().clone();
    assert_eq!(file.bytes(&entry), [7, 8, 9]);
    let map = file.map();
    drop(file);
    assert_eq!(map[entry.offset..][..entry.bytes], [7, 8, 9]);
    release(&map, entry.offset..entry.offset + entry.bytes);
    assert_eq!(map[entry.offset..][..entry.bytes], [7, 8, 9], "read anew");
}

#[test]
fn misaligned_tensors_are_reported() {
    let folder = TemporaryFolder::new();
    let json = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[],"data_offsets":[1,5]},"c":{"dtype":"F16","shape":[],"data_offsets":[5,7]}}"#;
    let padded = format!("{json}{}", " ".repeat((8 - json.len() % 8) % 8));
    let path = folder.file("odd.safetensors", &safetensors(&padded, &[0; 7]));
    let file = WeightFile::open(path).unwrap();
    let aligned: Vec<bool> =
        file.names().map(|name| file.tensor(name).unwrap().is_aligned()).collect();
    assert_eq!(aligned, [true, false, false]);
}

#[test]
fn unsupported_dtypes_and_missing_tensors_are_told_when_asked_for() {
    let folder = TemporaryFolder::new();
    let json = r#"{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}}"#;
    let path = folder.file("mixed.safetensors", &safetensors(json, &[0; 9]));
    let file = WeightFile::open(&path).unwrap();
    assert_eq!(file.tensor("a").unwrap().dtype.name(), "F64");
    assert!(file.loadable("b").is_ok());
    let error = file.loadable("a").unwrap_err();
    assert_eq!(error.code, WeightErrorCode::UnsupportedDType);
    assert_eq!(
        error.to_string(),
        format!(
            "{}: tensor \"a\": expected a dtype of F32, F16, BF16, I32, I64, I8, U8, found F64",
            path.display()
        )
    );
    let error = file.loadable("c").unwrap_err();
    assert_eq!(error.code, WeightErrorCode::MissingTensor);
    assert_eq!(error.tensor.as_deref(), Some("c"));
}

#[test]
fn paths_that_are_no_safetensors_files_are_refused() {
    let folder = TemporaryFolder::new();
    let code = |path: PathBuf| {
        let error = WeightFile::open(&path).unwrap_err();
        assert_eq!(error.file, path);
        (error.code, error.source.is_some())
    };
    assert_eq!(code(folder.join("absent")), (WeightErrorCode::Io, true));
    assert_eq!(code(folder.join("")), (WeightErrorCode::NotAFile, false));
    assert_eq!(code(folder.file("empty", b"")), (WeightErrorCode::FileLength, false));
    assert_eq!(code(folder.file("short", b"{}")), (WeightErrorCode::FileLength, false));
    let pickle = folder.file("model.bin", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.");
    assert_eq!(code(pickle), (WeightErrorCode::Pickle, false));
}
