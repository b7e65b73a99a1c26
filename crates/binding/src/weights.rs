//! Checkpoint files: mapped to read, written whole.

use crate::error;
use crate::stream::cpu;
use crate::tensor::{NativeTensor, to_numbers, to_sizes};
use ::weights::{Mmap, StoredDType, TensorToWrite, WeightError, WeightFile};
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use tensor_runtime::{Backing, DType, Tensor};

/// A [`WeightError`] as an error whose message is `{code, file, tensor, expected, found, message}`,
/// with `errno` where the system refused.
fn from_weights(failure: WeightError) -> Error {
    let facts = json!({
        "code": failure.code.name(),
        "file": failure.file.display().to_string(),
        "tensor": failure.tensor,
        "expected": failure.expected,
        "found": failure.found,
        "errno": failure.source.as_ref().and_then(|source| source.raw_os_error()),
        "message": failure.to_string(),
    });
    Error::new(Status::InvalidArg, facts.to_string())
}

fn stored(dtype: DType) -> StoredDType {
    match dtype {
        DType::Float32 => StoredDType::F32,
        DType::BFloat16 => StoredDType::BF16,
        DType::Float16 => StoredDType::F16,
        DType::Int32 => StoredDType::I32,
        DType::Int64 => StoredDType::I64,
        DType::Int8 => StoredDType::I8,
        DType::UInt8 => StoredDType::U8,
    }
}

fn computed(dtype: StoredDType) -> Option<DType> {
    DType::ALL.into_iter().find(|candidate| stored(*candidate) == dtype)
}

/// A mapped file that tensors read in place.
struct MappedFile(Arc<Mmap>);

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Backing for MappedFile {
    fn release(&self, range: Range<usize>) {
        ::weights::release(&self.0, range);
    }
}

/// What a file says of a tensor.
#[napi(object, object_from_js = false)]
pub struct NativeWeightEntry {
    /// The element type: a tensor's dtype, or the file's own name for one that can't be computed with.
    pub dtype: String,
    /// Extents, outermost first.
    pub shape: Vec<f64>,
    /// Bytes in the file.
    pub bytes: f64,
}

/// A safetensors file mapped into memory.
#[napi]
pub struct NativeWeightFile {
    path: String,
    file: Option<WeightFile>,
}

impl NativeWeightFile {
    fn get(&self) -> Result<&WeightFile> {
        self.file.as_ref().ok_or_else(|| {
            error::argument("weightFile", "file", "one that is not disposed", &self.path)
        })
    }
}

#[napi]
impl NativeWeightFile {
    /// Maps a file and checks its header.
    #[napi(factory, catch_unwind)]
    pub fn open(path: String) -> Result<Self> {
        let file = WeightFile::open(PathBuf::from(&path)).map_err(from_weights)?;
        Ok(NativeWeightFile { path, file: Some(file) })
    }

    /// The names of the tensors.
    #[napi(catch_unwind)]
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.get()?.names().map(str::to_owned).collect())
    }

    /// What the file says of a tensor, or null where it has none of that name.
    #[napi(catch_unwind)]
    pub fn entry(&self, name: String) -> Result<Option<NativeWeightEntry>> {
        Ok(self.get()?.tensor(&name).map(|entry| NativeWeightEntry {
            dtype: computed(entry.dtype)
                .map_or_else(|| entry.dtype.name().to_owned(), |dtype| dtype.name().to_owned()),
            shape: to_numbers(&entry.shape),
            bytes: entry.bytes as f64,
        }))
    }

    /// The strings of the file's metadata.
    #[napi(catch_unwind)]
    pub fn metadata(&self) -> Result<HashMap<String, String>> {
        Ok(self.get()?.metadata().clone().into_iter().collect())
    }

    /// A tensor, read in place from the map where it is aligned, else copied.
    #[napi(catch_unwind)]
    pub fn tensor(&self, name: String) -> Result<NativeTensor> {
        let file = self.get()?;
        let entry = file.loadable(&name).map_err(from_weights)?;
        let Some(dtype) = computed(entry.dtype) else {
            return Err(error::argument("weightFile", "dtype", "one to compute with", &name));
        };
        let mapped =
            cpu().borrow(Arc::new(MappedFile(file.map())), entry.offset, entry.bytes, dtype.size());
        mapped
            .map_or_else(|| cpu().store(file.bytes(entry)), Ok)
            .and_then(|storage| Tensor::new(storage, dtype, &entry.shape))
            .map(NativeTensor::from)
            .map_err(error::from_runtime)
    }

    /// The bytes of a tensor of any type, copied at once: for what is read before anything is computed.
    #[napi(catch_unwind)]
    pub fn bytes(&self, name: String) -> Result<Uint8Array> {
        let file = self.get()?;
        let entry = file.loadable(&name).map_err(from_weights)?;
        Ok(file.bytes(entry).to_vec().into())
    }

    /// Lets go of the map; tensors made from it keep it until they are disposed.
    #[napi(catch_unwind)]
    pub fn dispose(&mut self) {
        self.file = None;
    }
}

/// A tensor to write.
#[napi(object, object_to_js = false)]
pub struct NativeTensorToWrite {
    /// The name, unique in the file.
    pub name: String,
    /// The element type.
    pub dtype: String,
    /// Extents, outermost first.
    pub shape: Vec<f64>,
    /// The elements, row-major, little-endian.
    pub data: Uint8Array,
}

/// Writes a safetensors file under a temporary name and renames it once it is complete.
#[napi(catch_unwind)]
pub fn write_safetensors(
    path: String,
    tensors: Vec<NativeTensorToWrite>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    let shapes = tensors
        .iter()
        .map(|tensor| to_sizes("writeSafetensors", "shape", &tensor.shape))
        .collect::<Result<Vec<_>>>()?;
    let entries = tensors
        .iter()
        .zip(&shapes)
        .map(|(tensor, shape)| {
            Ok(TensorToWrite {
                name: &tensor.name,
                dtype: stored(crate::tensor::to_dtype("writeSafetensors", &tensor.dtype)?),
                shape,
                bytes: &tensor.data,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let metadata: BTreeMap<String, String> = metadata.unwrap_or_default().into_iter().collect();
    ::weights::write_safetensors(PathBuf::from(path), &entries, &metadata).map_err(from_weights)
}
