//! What can go wrong with a weight file, as facts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The kind of a [`WeightError`]. Names are stable: callers tell errors apart by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightErrorCode {
    /// The system refused to open, map, write or rename.
    Io,
    /// The path is something other than a regular file.
    NotAFile,
    /// A Python pickle, alone or in a PyTorch zip archive: code, not data.
    Pickle,
    /// The text that Git LFS leaves in place of a file that it hasn't fetched.
    LfsPointer,
    /// The file is shorter or longer than its header says.
    FileLength,
    /// The header's length is beyond the limit or beyond the file.
    HeaderLength,
    /// The header isn't the JSON of the format.
    Header,
    /// Two tensors, or two entries of the metadata, have one name.
    DuplicateName,
    /// An element type that the format doesn't have.
    UnknownDType,
    /// An element type that the format has and this project can't compute with.
    UnsupportedDType,
    /// Too many dimensions, or a size that overflows.
    Shape,
    /// A tensor doesn't lie where the format wants it.
    Offsets,
    /// There is no tensor of that name.
    MissingTensor,
    /// A tensor to write has a name that the format keeps for itself.
    ReservedName,
}

impl WeightErrorCode {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::NotAFile => "notAFile",
            Self::Pickle => "pickle",
            Self::LfsPointer => "lfsPointer",
            Self::FileLength => "fileLength",
            Self::HeaderLength => "headerLength",
            Self::Header => "header",
            Self::DuplicateName => "duplicateName",
            Self::UnknownDType => "unknownDtype",
            Self::UnsupportedDType => "unsupportedDtype",
            Self::Shape => "shape",
            Self::Offsets => "offsets",
            Self::MissingTensor => "missingTensor",
            Self::ReservedName => "reservedName",
        }
    }
}

/// A refused or failed weight file: which one, which tensor, what was expected and what was found.
#[derive(Clone, Debug)]
pub struct WeightError {
    /// The kind.
    pub code: WeightErrorCode,
    /// The file, as it was named to this crate.
    pub file: PathBuf,
    /// The tensor at fault, or `None` where the whole file is.
    pub tensor: Option<String>,
    /// What a right file has there.
    pub expected: String,
    /// What this one has.
    pub found: String,
    /// The system's own error, where there is one.
    pub source: Option<Arc<std::io::Error>>,
}

impl WeightError {
    pub(crate) fn io(file: &Path, expected: &str, source: std::io::Error) -> WeightError {
        WeightError {
            code: WeightErrorCode::Io,
            file: file.to_path_buf(),
            tensor: None,
            expected: expected.to_owned(),
            found: source.to_string(),
            source: Some(Arc::new(source)),
        }
    }
}

impl fmt::Display for WeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(tensor) = &self.tensor {
            write!(f, "tensor {tensor:?}: ")?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for WeightError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}

/// A [`WeightError`] whose file is yet to be told.
#[derive(Debug)]
pub(crate) struct Problem {
    pub code: WeightErrorCode,
    pub tensor: Option<String>,
    pub expected: String,
    pub found: String,
}

impl Problem {
    pub fn of_file(
        code: WeightErrorCode,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Problem {
        Problem { code, tensor: None, expected: expected.into(), found: found.into() }
    }

    pub fn of_tensor(
        code: WeightErrorCode,
        tensor: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Problem {
        Problem {
            code,
            tensor: Some(tensor.to_owned()),
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub fn in_file(self, file: &Path) -> WeightError {
        WeightError {
            code: self.code,
            file: file.to_path_buf(),
            tensor: self.tensor,
            expected: self.expected,
            found: self.found,
            source: None,
        }
    }
}
