//! Where a library is looked for, in which order.

use super::python::{library_folders, subfolders};
use super::{DRIVER_VARIABLE, LIBRARIES_VARIABLE, Library, LibraryKind};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where drivers put their library beside the loader's own paths: WSL, Debian, Fedora, Colab,
/// containers of Kubernetes, NixOS.
const DRIVER_FOLDERS: [&str; 6] = [
    "usr/lib/wsl/lib",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib64",
    "usr/lib64-nvidia",
    "usr/local/nvidia/lib64",
    "run/opengl-driver/lib",
];

/// What an environment variable says.
type Variable = Box<dyn Fn(&str) -> Option<OsString>>;

/// Environment variables, and the root folder of the file system.
pub(super) struct Environment {
    variable: Variable,
    root: PathBuf,
}

impl Environment {
    fn variable(&self, name: &str) -> Option<OsString> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The folder that a variable names.
    pub(super) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// The folders that a variable lists.
    pub(super) fn folders(&self, name: &str) -> Vec<PathBuf> {
        self.variable(name)
            .map(|value| {
                std::env::split_paths(&value).filter(|path| !path.as_os_str().is_empty()).collect()
            })
            .unwrap_or_default()
    }
}

/// One place that was looked at, and why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The file, or the bare name that the loader was asked for.
    pub file: PathBuf,
    /// The loader's reason, or what is wrong with the file.
    pub reason: String,
    /// Whether there is such a file, which then is the thing to repair.
    pub found: bool,
}

/// Everything that was tried for a library, in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Files that the loader was given, in order.
    pub attempts: Vec<Attempt>,
    /// Further folders that hold no file of any of its names.
    pub folders: Vec<PathBuf>,
}

impl Tried {
    /// Whether a file was there which could not be opened, or was another library.
    pub fn found_a_file(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.found)
    }
}

impl fmt::Display for Tried {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<_> = self.attempts.iter().map(|attempt| attempt.reason.as_str()).collect();
        formatter.write_str(&reasons.join("; "))?;
        if !self.folders.is_empty() {
            let folders: Vec<_> =
                self.folders.iter().map(|folder| folder.display().to_string()).collect();
            let separator = if reasons.is_empty() { "" } else { "; " };
            write!(formatter, "{separator}not in {}", folders.join(", "))?;
        }
        Ok(())
    }
}

/// The places of this machine where libraries may be.
pub struct SearchPaths {
    environment: Environment,
}

impl SearchPaths {
    /// Those that the environment variables and the file system of this machine give.
    pub fn from_environment() -> SearchPaths {
        SearchPaths::new(|name| std::env::var_os(name), Path::new("/"))
    }

    /// Those of other variables, and of a file system that begins at `root`.
    pub fn new(variable: impl Fn(&str) -> Option<OsString> + 'static, root: &Path) -> SearchPaths {
        SearchPaths {
            environment: Environment { variable: Box::new(variable), root: root.to_owned() },
        }
    }

    /// Folders that are searched for a library beside the loader's own paths, in order.
    fn folders(&self, kind: LibraryKind) -> Vec<PathBuf> {
        let environment = &self.environment;
        if kind == LibraryKind::Driver {
            // Never in a toolkit: what is there is a stub to link against.
            return DRIVER_FOLDERS.iter().map(|folder| environment.root.join(folder)).collect();
        }
        let mut folders = Vec::new();
        let mut toolkits: Vec<PathBuf> =
            ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(|name| environment.folder(name)).collect();
        let mut installed = subfolders(&environment.root.join("usr/local"));
        installed.retain(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("cuda"))
        });
        toolkits.extend(installed);
        folders.extend(toolkits.iter().map(|toolkit| toolkit.join("lib64")));
        folders.extend(library_folders(environment));
        folders
    }

    /// Opens the first library of that kind which opens and which `accept` takes.
    ///
    /// Libraries made for a newer major version of CUDA than `driver`'s are passed over.
    ///
    /// # Errors
    ///
    /// What was tried.
    pub fn open(
        &self,
        kind: LibraryKind,
        driver: Option<(u32, u32)>,
        accept: impl Fn(&Library) -> Result<(), String>,
    ) -> Result<Library, Tried> {
        let mut search = Search { kind, accept, tried: Tried::default() };
        if kind == LibraryKind::Driver
            && let Some(file) = self.environment.folder(DRIVER_VARIABLE)
        {
            // Who names a driver wants that one, and no other.
            return search.file(&file).ok_or_else(|| {
                for attempt in &mut search.tried.attempts {
                    attempt.reason = format!("{DRIVER_VARIABLE}: {}", attempt.reason);
                }
                search.tried
            });
        }
        let names = search.names(driver);
        let first = match kind {
            LibraryKind::Driver => Vec::new(),
            _ => self.environment.folders(LIBRARIES_VARIABLE),
        };
        let opened = search
            .folders(first, &names)
            .or_else(|| names.iter().find_map(|name| search.file(Path::new(name))))
            .or_else(|| search.folders(self.folders(kind), &names));
        opened.ok_or(search.tried)
    }
}

/// A search under way.
struct Search<A> {
    kind: LibraryKind,
    accept: A,
    tried: Tried,
}

impl<A: Fn(&Library) -> Result<(), String>> Search<A> {
    /// The names that a driver of that version can be used with.
    fn names(&mut self, driver: Option<(u32, u32)>) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (name, cuda) in self.kind.files() {
            match (cuda, driver) {
                (Some(cuda), Some((major, minor))) if *cuda > major => {
                    self.tried.attempts.push(Attempt {
                        file: PathBuf::from(name),
                        reason: format!(
                            "{name} is for CUDA {cuda}, and the driver knows up to CUDA \
                             {major}.{minor}"
                        ),
                        found: false,
                    });
                }
                _ => names.push(*name),
            }
        }
        names
    }

    fn folders(&mut self, folders: Vec<PathBuf>, names: &[&str]) -> Option<Library> {
        for folder in folders {
            let mut files: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
            files.retain(|file| file.exists());
            if files.is_empty() {
                self.tried.folders.push(folder);
                continue;
            }
            if let Some(library) = files.iter().find_map(|file| self.file(file)) {
                return Some(library);
            }
        }
        None
    }

    fn file(&mut self, file: &Path) -> Option<Library> {
        let opened = Library::open(self.kind, file).and_then(|library| {
            (self.accept)(&library)
                .map(|()| library)
                .map_err(|reason| format!("{} {reason}", file.display()))
        });
        match opened {
            Ok(library) => Some(library),
            Err(reason) => {
                // Of a bare name only the loader's text tells whether it found a file.
                let absent = format!("{}: cannot open shared object file", file.display());
                let found = file.exists() || !reason.starts_with(&absent);
                self.tried.attempts.push(Attempt { file: file.to_owned(), reason, found });
                None
            }
        }
    }
}
