//! Compiled kernels, as `kernels/compile.py` packed them.

use cuda::{CudaError, CudaErrorCode};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::io::Read;
use std::ops::Range;
use std::sync::OnceLock;

const MANIFEST: &str = include_str!("../generated/manifest.json");

/// What kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Compute capability 8.0, whose code runs on 8.6 and 8.7 too.
    V8_0,
    /// 8.9.
    V8_9,
    /// 9.0, with what that one alone has.
    V9_0,
    /// 10.0, with what that one alone has.
    V10_0,
    /// 12.0, with what that one alone has.
    V12_0,
    /// Any other from 8.0 on, by the driver's compiler.
    Ptx,
}

impl Target {
    /// Every target.
    #[cfg(test)]
    pub const ALL: [Target; 6] =
        [Target::V8_0, Target::V8_9, Target::V9_0, Target::V10_0, Target::V12_0, Target::Ptx];

    /// The target whose code a device of that compute capability runs.
    ///
    /// # Errors
    ///
    /// `Unsupported` below 8.0, which lacks bfloat16.
    pub fn of(compute_capability: (u32, u32)) -> Result<Target, CudaError> {
        Ok(match compute_capability {
            (8, 0 | 6 | 7) => Target::V8_0,
            (8, 9) => Target::V8_9,
            (9, 0) => Target::V9_0,
            (10, 0) => Target::V10_0,
            (12, 0) => Target::V12_0,
            (8.., _) => Target::Ptx,
            (major, minor) => {
                return Err(CudaError {
                    code: CudaErrorCode::Unsupported,
                    function: "cuModuleLoadDataEx",
                    name: String::new(),
                    message: format!(
                        "kernels need compute capability 8.0 or above, the device has {major}.{minor}"
                    ),
                });
            }
        })
    }

    /// Its name in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Target::V8_0 => "8.0",
            Target::V8_9 => "8.9",
            Target::V9_0 => "9.0",
            Target::V10_0 => "10.0",
            Target::V12_0 => "12.0",
            Target::Ptx => "ptx",
        }
    }

    /// Its kernels, compressed one after the other as one LZMA stream.
    pub const fn packed(self) -> &'static [u8] {
        match self {
            Target::V8_0 => include_bytes!("../generated/8.0.lzma"),
            Target::V8_9 => include_bytes!("../generated/8.9.lzma"),
            Target::V9_0 => include_bytes!("../generated/9.0.lzma"),
            Target::V10_0 => include_bytes!("../generated/10.0.lzma"),
            Target::V12_0 => include_bytes!("../generated/12.0.lzma"),
            Target::Ptx => include_bytes!("../generated/ptx.lzma"),
        }
    }
}

/// `manifest.json`, as far as launching needs it.
#[derive(Deserialize)]
pub(crate) struct Manifest {
    pub packs: BTreeMap<String, PackFacts>,
    pub variants: Vec<Variant>,
}

/// What the manifest tells of a pack.
#[derive(Deserialize)]
pub(crate) struct PackFacts {
    /// Bytes when unpacked.
    pub bytes: usize,
}

/// What the manifest tells of a variant of a kernel.
#[derive(Deserialize)]
pub(crate) struct Variant {
    pub name: String,
    /// The source's file.
    pub source: String,
    /// Names and Triton's types, in order.
    pub arguments: Vec<(String, String)>,
    /// Arguments that are multiples of 16.
    pub aligned: Vec<String>,
    pub targets: BTreeMap<String, Compiled>,
}

/// A variant for one target.
#[derive(Deserialize)]
pub(crate) struct Compiled {
    pub entry: String,
    pub threads: u32,
    pub shared: u32,
    /// Bytes of registers that are kept in memory.
    #[cfg(test)]
    pub spilled: u32,
    pub constants: BTreeMap<String, serde_json::Value>,
    pub offset: usize,
    pub bytes: usize,
}

impl Manifest {
    /// The manifest beside the packs.
    pub fn read() -> Result<Manifest, CudaError> {
        serde_json::from_str(MANIFEST).map_err(|error| internal(format!("manifest.json: {error}")))
    }
}

/// The kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pointer,
    I32,
    I64,
    F32,
    TensorMap,
}

/// An argument of a kernel.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub name: String,
    pub kind: Kind,
    /// Whether it is a multiple of 16.
    pub aligned: bool,
}

/// A kernel for one target.
pub(crate) struct Kernel {
    /// Its name within its image.
    pub entry: CString,
    pub parameters: Vec<Parameter>,
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Pointers to scratch memory that it takes after its parameters, and doesn't use.
    pub scratch: usize,
    /// The numbers among its constants.
    constants: HashMap<String, u32>,
    /// Its image's place in the pack.
    place: Range<usize>,
}

impl Kernel {
    fn new(variant: Variant, compiled: Compiled) -> Result<Kernel, CudaError> {
        let Variant { name, source, arguments, aligned, .. } = variant;
        let parameter = |(argument, of): (String, String)| {
            let kind = match of.as_str() {
                "i32" => Kind::I32,
                "i64" => Kind::I64,
                "fp32" => Kind::F32,
                "tensormap" => Kind::TensorMap,
                pointer if pointer.starts_with('*') => Kind::Pointer,
                _ => return Err(internal(format!("{name}: {argument} is of type {of}"))),
            };
            Ok(Parameter { aligned: aligned.contains(&argument), name: argument, kind })
        };
        let number = |value: &serde_json::Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        Ok(Kernel {
            parameters: arguments.into_iter().map(parameter).collect::<Result<_, _>>()?,
            entry: CString::new(compiled.entry).map_err(|error| internal(error.to_string()))?,
            threads: compiled.threads,
            shared: compiled.shared,
            // Every Triton kernel takes two.
            scratch: if source.ends_with(".py") { 2 } else { 0 },
            constants: compiled
                .constants
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), number(value)?)))
                .collect(),
            place: compiled.offset..compiled.offset + compiled.bytes,
        })
    }

    /// A constant that it was compiled with, where that is a number that `u32` holds.
    pub fn constant(&self, name: &str) -> Option<u32> {
        self.constants.get(name).copied()
    }
}

/// The kernels of one target. Their code is unpacked when the first is loaded.
pub(crate) struct Pack {
    target: Target,
    kernels: HashMap<String, Kernel>,
    bytes: usize,
    code: OnceLock<Vec<u8>>,
}

impl Pack {
    /// The pack of a target.
    pub fn open(target: Target) -> Result<Pack, CudaError> {
        let manifest = Manifest::read()?;
        let facts = manifest.packs.get(target.name());
        let bytes = facts.ok_or_else(|| internal(format!("no pack {}", target.name())))?.bytes;
        let mut kernels = HashMap::with_capacity(manifest.variants.len());
        for mut variant in manifest.variants {
            if let Some(compiled) = variant.targets.remove(target.name()) {
                kernels.insert(variant.name.clone(), Kernel::new(variant, compiled)?);
            }
        }
        Ok(Pack { target, kernels, bytes, code: OnceLock::new() })
    }

    /// The kernel of that name.
    ///
    /// # Errors
    ///
    /// Where the pack has none: whoever asks and the pack are of different builds.
    pub fn kernel(&self, name: &str) -> Result<&Kernel, CudaError> {
        self.kernels
            .get(name)
            .ok_or_else(|| internal(format!("no kernel {name} for {}", self.target.name())))
    }

    /// A kernel's image, as the driver loads it.
    pub fn image(&self, kernel: &Kernel) -> Result<&[u8], CudaError> {
        if self.code.get().is_none() {
            // Two threads may both unpack; they unpack the same.
            let _ = self.code.set(self.unpacked()?);
        }
        let code = self.code.get().expect("set above");
        code.get(kernel.place.clone()).ok_or_else(|| {
            internal(format!("pack {} ends before {:?}", self.target.name(), kernel.place))
        })
    }

    fn unpacked(&self) -> Result<Vec<u8>, CudaError> {
        let failed = |error| internal(format!("pack {}: {error}", self.target.name()));
        let packed = self.target.packed();
        let mut reader =
            lzma_rust2::LzmaReader::new_mem_limit(packed, u32::MAX, None).map_err(failed)?;
        let mut code = Vec::with_capacity(self.bytes);
        reader.read_to_end(&mut code).map_err(failed)?;
        if code.len() != self.bytes {
            let (name, found, told) = (self.target.name(), code.len(), self.bytes);
            return Err(internal(format!(
                "pack {name} has {found} bytes, its manifest says {told}"
            )));
        }
        Ok(code)
    }

    /// The kernels' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kernels.keys().map(String::as_str)
    }
}

/// A request that can't be met.
pub(crate) fn refused(message: String) -> CudaError {
    CudaError {
        code: CudaErrorCode::Unsupported,
        function: "cuda-kernels",
        name: String::new(),
        message,
    }
}

/// An error of this crate's own making.
pub(crate) fn internal(message: String) -> CudaError {
    CudaError {
        code: CudaErrorCode::Failed,
        function: "cuda-kernels",
        name: String::new(),
        message: format!("internal error: {message}"),
    }
}

#[cfg(test)]
mod tests;
