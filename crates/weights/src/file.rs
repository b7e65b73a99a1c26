//! A safetensors file, open and mapped.

use crate::dtype::StoredDType;
use crate::error::{Problem, WeightError, WeightErrorCode};
use crate::header::{self, Header};
use memmap2::Mmap;
#[cfg(unix)]
use memmap2::UncheckedAdvice;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One tensor of a [`WeightFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// The name, unique in its file.
    pub name: String,
    /// The element type.
    pub dtype: StoredDType,
    /// Extents, outermost first; none for a scalar. The bytes are contiguous and little-endian.
    pub shape: Vec<usize>,
    /// Where the bytes start, from the start of the file.
    pub offset: usize,
    /// How many there are.
    pub bytes: usize,
}

impl TensorEntry {
    /// Whether the bytes can be read in place. A map starts on a page, so the offset decides;
    /// where this is false, copy them to memory aligned to [`StoredDType::alignment`].
    pub fn is_aligned(&self) -> bool {
        self.offset.is_multiple_of(self.dtype.alignment())
    }
}

/// A safetensors file that was found right as a whole, mapped into memory.
///
/// Pages are read when they are touched, and shared with every other map of the file. Nobody may
/// shorten or change the file while a map of it lives: what was validated would no longer hold,
/// and to read beyond a shortened file's end is fatal to the process.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    map: Arc<Mmap>,
    header: Header,
}

impl WeightFile {
    /// Maps and validates the file at `path`.
    ///
    /// # Errors
    /// Whatever is wrong with the file, before anything of it is handed out: every
    /// [`WeightErrorCode`] but `UnsupportedDType`, `MissingTensor` and `ReservedName`.
    pub fn open(path: impl AsRef<Path>) -> Result<WeightFile, WeightError> {
        let path = path.as_ref();
        // Asked before opening: to open a pipe would wait for its writer.
        let metadata =
            fs::metadata(path).map_err(|error| WeightError::io(path, "a readable file", error))?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a directory" } else { "a device or pipe" };
            return Err(
                Problem::of_file(WeightErrorCode::NotAFile, "a regular file", found).in_file(path)
            );
        }
        // Also because an empty file can't be mapped.
        if metadata.len() < header::LENGTH_BYTES as u64 {
            return Err(header::too_short(metadata.len()).in_file(path));
        }
        let file =
            File::open(path).map_err(|error| WeightError::io(path, "a readable file", error))?;
        // SAFETY: the map is private and only read; that the file isn't changed under it is what
        // the documentation of this type asks of its users, as every reader of weights does.
        let map = unsafe { Mmap::map(&file) }
            .map_err(|error| WeightError::io(path, "a file that can be mapped", error))?;
        let header = header::parse(&map).map_err(|problem| problem.in_file(path))?;
        Ok(WeightFile { path: path.to_path_buf(), map: Arc::new(map), header })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names, in the order of the bytes.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.header.tensors.iter().map(|entry| entry.name.as_str())
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorEntry> {
        self.header.index.get(name).map(|&at| &self.header.tensors[at])
    }

    /// The tensor called `name`, to compute with.
    ///
    /// # Errors
    /// `MissingTensor`, and `UnsupportedDType` where [`StoredDType::is_supported`] is false.
    pub fn loadable(&self, name: &str) -> Result<&TensorEntry, WeightError> {
        let problem = match self.tensor(name) {
            Some(entry) if entry.dtype.is_supported() => return Ok(entry),
            Some(entry) => Problem::of_tensor(
                WeightErrorCode::UnsupportedDType,
                name,
                format!("a dtype of {}", StoredDType::supported_names()),
                entry.dtype.name(),
            ),
            None => Problem::of_tensor(
                WeightErrorCode::MissingTensor,
                name,
                "a tensor of this name",
                format!("{} others", self.header.tensors.len()),
            ),
        };
        Err(problem.in_file(&self.path))
    }

    /// The bytes of `entry`, which is one of this file's.
    ///
    /// # Panics
    /// Where `entry` is another file's and lies beyond this one's end.
    pub fn bytes(&self, entry: &TensorEntry) -> &[u8] {
        &self.map[entry.offset..entry.offset + entry.bytes]
    }

    /// The strings under `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.header.metadata
    }

    /// The whole file, for tensors that read it in place and outlive this.
    pub fn map(&self) -> Arc<Mmap> {
        Arc::clone(&self.map)
    }
}

/// Lets go of the pages of `range` of a mapped file: they no longer count as this process's memory,
/// and are found or read again when they are touched.
#[cfg(unix)]
pub fn release(map: &Mmap, range: Range<usize>) {
    // SAFETY: the map is of a file and never written, so what is let go is read anew from the file.
    let released =
        unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
    // Advice: where the system refuses it, the pages stay, and nothing else is lost.
    drop(released);
}

/// Elsewhere pages go with the map.
#[cfg(not(unix))]
pub fn release(_map: &Mmap, _range: Range<usize>) {}

#[cfg(test)]
mod tests;
