//! Writing safetensors.

use crate::dtype::StoredDType;
use crate::error::{Problem, WeightError, WeightErrorCode};
use crate::header::{MAX_DIMENSIONS, MAX_HEADER_BYTES, METADATA_KEY};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A tensor for [`write_safetensors`].
#[derive(Clone, Copy, Debug)]
pub struct TensorToWrite<'a> {
    /// The name, unique in its file.
    pub name: &'a str,
    /// The element type.
    pub dtype: StoredDType,
    /// Extents, outermost first; none for a scalar.
    pub shape: &'a [usize],
    /// The elements, contiguous and little-endian.
    pub bytes: &'a [u8],
}

/// Where the data starts, and so where a reader may find each tensor aligned.
const DATA_ALIGNMENT: usize = 8;

/// Writes `tensors` and `metadata` to a safetensors file at `path`.
///
/// The file is written under a temporary name beside `path`, flushed to the disk and then renamed,
/// so that `path` is either what it was before or complete. Tensors lie in the order of their
/// alignment, widest first, then of their names, so that every one can be read in place.
///
/// # Errors
/// `ReservedName`, `DuplicateName`, `Shape` and `Offsets` (bytes that aren't the shape's) before
/// anything is written; `HeaderLength` where there are too many to read back; `Io`.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &[TensorToWrite<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let path = path.as_ref();
    let mut ordered: Vec<&TensorToWrite<'_>> = tensors.iter().collect();
    ordered.sort_by(|a, b| {
        b.dtype.alignment().cmp(&a.dtype.alignment()).then_with(|| a.name.cmp(b.name))
    });
    let header = header(&ordered, metadata).map_err(|problem| problem.in_file(path))?;
    let (temporary, mut file) = create_beside(path)
        .map_err(|error| WeightError::io(path, "a folder that can be written to", error))?;
    let written = (|| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for tensor in &ordered {
            file.write_all(tensor.bytes)?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        // The first error is the one to tell; what can't be removed either stays behind.
        let _ = fs::remove_file(&temporary);
        return Err(WeightError::io(path, "a file that can be written", error));
    }
    sync_folder(path).map_err(|error| WeightError::io(path, "a folder that can be flushed", error))
}

fn header(
    tensors: &[&TensorToWrite<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Problem> {
    let mut entries = Map::new();
    if !metadata.is_empty() {
        entries.insert(METADATA_KEY.to_owned(), json!(metadata));
    }
    let mut begin = 0;
    for tensor in tensors {
        check(tensor)?;
        let end = begin + tensor.bytes.len();
        let entry = json!({
            "dtype": tensor.dtype.name(),
            "shape": tensor.shape,
            "data_offsets": [begin, end],
        });
        if entries.insert(tensor.name.to_owned(), entry).is_some() {
            return Err(Problem::of_tensor(
                WeightErrorCode::DuplicateName,
                tensor.name,
                "one tensor of a name",
                "two",
            ));
        }
        begin = end;
    }
    let mut header = Value::Object(entries).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(DATA_ALIGNMENT), b' ');
    if header.len() > MAX_HEADER_BYTES {
        return Err(Problem::of_file(
            WeightErrorCode::HeaderLength,
            format!("names and metadata of at most {MAX_HEADER_BYTES} bytes"),
            format!("{}", header.len()),
        ));
    }
    Ok(header)
}

fn check(tensor: &TensorToWrite<'_>) -> Result<(), Problem> {
    if tensor.name == METADATA_KEY {
        return Err(Problem::of_tensor(
            WeightErrorCode::ReservedName,
            tensor.name,
            "a name other than the format's own",
            METADATA_KEY,
        ));
    }
    if tensor.shape.len() > MAX_DIMENSIONS {
        return Err(Problem::of_tensor(
            WeightErrorCode::Shape,
            tensor.name,
            format!("at most {MAX_DIMENSIONS} dimensions"),
            format!("{}", tensor.shape.len()),
        ));
    }
    if tensor.dtype.bytes_of(tensor.shape) != Some(tensor.bytes.len()) {
        return Err(Problem::of_tensor(
            WeightErrorCode::Offsets,
            tensor.name,
            format!("the bytes of {:?} of {}", tensor.shape, tensor.dtype.name()),
            format!("{}", tensor.bytes.len()),
        ));
    }
    Ok(())
}

/// A new file in the folder of `path`, which no other process has.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a path without a file name"))?;
    let mut attempt = 0u32;
    loop {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.partial", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < u32::MAX => {
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes the rename last through a power cut, where the system can.
fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
