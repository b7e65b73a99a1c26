use super::*;
use crate::WeightFile;
use crate::temporary_folder::TemporaryFolder;

fn tensor<'a>(
    name: &'a str,
    dtype: StoredDType,
    shape: &'a [usize],
    bytes: &'a [u8],
) -> TensorToWrite<'a> {
    TensorToWrite { name, dtype, shape, bytes }
}

#[test]
fn what_is_written_is_read_back_and_aligned() {
    let folder = TemporaryFolder::new();
    let path = folder.join("latents.safetensors");
    let metadata = BTreeMap::from([("format".to_owned(), "pt \"ü\"".to_owned())]);
    let latents: Vec<u8> = (0..24).collect();
    let tensors = [
        tensor("mask", StoredDType::U8, &[3], &[1, 0, 1]),
        tensor("latents", StoredDType::F32, &[1, 2, 3], &latents),
        tensor("half", StoredDType::BF16, &[], &[5, 6]),
        tensor("none", StoredDType::I64, &[0], &[]),
    ];
    write_safetensors(&path, &tensors, &metadata).unwrap();
    let file = WeightFile::open(&path).unwrap();
    assert_eq!(file.metadata(), &metadata);
    assert_eq!(file.names().collect::<Vec<_>>(), ["none", "latents", "half", "mask"]);
    for tensor in &tensors {
        let entry = file.tensor(tensor.name).unwrap();
        assert_eq!((entry.dtype, entry.shape.as_slice()), (tensor.dtype, tensor.shape));
        assert_eq!(file.bytes(entry), tensor.bytes);
        assert!(entry.is_aligned());
    }
    assert_eq!(folder.names(), ["latents.safetensors"]);
}

#[test]
fn a_file_that_is_there_is_replaced_as_a_whole() {
    let folder = TemporaryFolder::new();
    let path = folder.join("a");
    let write = |bytes: &[u8]| {
        let shape = [bytes.len()];
        let tensors = [tensor("a", StoredDType::U8, &shape, bytes)];
        write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    };
    write(&[1, 2, 3]);
    let before = WeightFile::open(&path).unwrap();
    write(&[4]);
    let after = WeightFile::open(&path).unwrap();
    assert_eq!(before.bytes(before.tensor("a").unwrap()), [1, 2, 3]);
    assert_eq!(after.bytes(after.tensor("a").unwrap()), [4]);
}

#[test]
fn what_could_not_be_read_back_is_refused_before_anything_is_written() {
    let folder = TemporaryFolder::new();
    let path = folder.join("refused");
    let one = tensor("a", StoredDType::U8, &[1], &[0]);
    for (tensors, code) in [
        (vec![tensor("__metadata__", StoredDType::U8, &[1], &[0])], WeightErrorCode::ReservedName),
        (vec![one, one], WeightErrorCode::DuplicateName),
        (vec![tensor("a", StoredDType::U8, &[1; 9], &[0])], WeightErrorCode::Shape),
        (vec![tensor("a", StoredDType::F32, &[1], &[0])], WeightErrorCode::Offsets),
        (vec![tensor("a", StoredDType::F32, &[usize::MAX], &[0])], WeightErrorCode::Offsets),
    ] {
        let error = write_safetensors(&path, &tensors, &BTreeMap::new()).unwrap_err();
        assert_eq!((error.code, error.file.as_path()), (code, path.as_path()));
        assert_eq!(error.tensor.as_deref(), Some(tensors[0].name));
    }
    assert!(folder.names().is_empty());
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = TemporaryFolder::new();
    let one = [tensor("a", StoredDType::U8, &[1], &[0])];
    let error = write_safetensors(folder.join("absent/a"), &one, &BTreeMap::new()).unwrap_err();
    assert_eq!(error.code, WeightErrorCode::Io);
    fs::create_dir(folder.join("taken")).unwrap();
    folder.file("taken/inside", b"");
    let error = write_safetensors(folder.join("taken"), &one, &BTreeMap::new()).unwrap_err();
    assert_eq!(error.code, WeightErrorCode::Io);
    assert_eq!(folder.names(), ["taken"]);
}
