//! A shared library of NVIDIA's in this process.

use super::LibraryKind;
use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An open library. It is never closed: NVIDIA's libraries keep threads and exit handlers.
#[derive(Clone, Debug)]
pub struct Library {
    handle: *mut c_void,
    kind: LibraryKind,
    path: PathBuf,
}

// SAFETY: the handle is only passed to `dlsym`, which any thread may call.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Opens a file, or what the loader finds under a bare name.
    ///
    /// # Errors
    ///
    /// The loader's reason, or that the file is no such library.
    pub fn open(kind: LibraryKind, file: &Path) -> Result<Library, String> {
        let name = CString::new(file.as_os_str().as_bytes())
            .map_err(|_| format!("{} is no file name", file.display()))?;
        // SAFETY: a valid string. Opening a library runs what it has to run at its start.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(loader_reason(file));
        }
        let mut library = Library { handle, kind, path: file.to_owned() };
        let Some(address) = library.symbol(kind.telling_symbol()) else {
            let symbol = kind.telling_symbol().to_string_lossy();
            let reason = format!("{} is not {}: no {symbol}", file.display(), kind.name());
            // SAFETY: open, closed once, and nothing of it is in use.
            unsafe { libc::dlclose(handle) };
            return Err(reason);
        };
        if let Some(path) = file_of(address) {
            library.path = path;
        }
        Ok(library)
    }

    /// Which library it is.
    pub fn kind(&self) -> LibraryKind {
        self.kind
    }

    /// The file that it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address of what the library exports by that name.
    pub fn symbol(&self, name: &CStr) -> Option<*const c_void> {
        // SAFETY: an open library and a valid string.
        let address = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        (!address.is_null()).then_some(address.cast_const())
    }
}

/// Why the last `dlopen` of this thread failed.
fn loader_reason(file: &Path) -> String {
    // SAFETY: returns a string that lasts until the next call of this thread, or null.
    let reason = unsafe { libc::dlerror() };
    if reason.is_null() {
        return format!("{} can't be opened", file.display());
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned()
}

/// The file that a loaded address belongs to.
fn file_of(address: *const c_void) -> Option<PathBuf> {
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: fills the structure where it answers other than 0.
    if unsafe { libc::dladdr(address, found.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: zeroed is valid for it, and it was filled.
    let name = unsafe { found.assume_init() }.dli_fname;
    if name.is_null() {
        return None;
    }
    // SAFETY: the loader's name of the file, which stays while the library is open.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    Some(PathBuf::from(OsStr::from_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_refused_with_the_loaders_reason() {
        let reason = Library::open(LibraryKind::Nccl, Path::new("/nowhere/libnccl.so.2"));
        let reason = reason.err().unwrap();
        assert!(reason.contains("/nowhere/libnccl.so.2"), "{reason}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn another_library_is_refused() {
        let reason = Library::open(LibraryKind::Driver, Path::new("libc.so.6")).err().unwrap();
        assert_eq!(reason, "libc.so.6 is not NVIDIA's driver: no cuInit");
    }

    #[test]
    fn a_file_that_is_no_library_is_refused() {
        let file = std::env::temp_dir().join(format!("no-library-{}.so", std::process::id()));
        std::fs::write(&file, b"text").unwrap();
        let reason = Library::open(LibraryKind::CublasLt, &file).err().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(reason.contains(file.to_str().unwrap()), "{reason}");
    }

    #[test]
    fn a_name_with_a_zero_byte_is_refused() {
        let reason = Library::open(LibraryKind::Cudnn, Path::new("a\0b")).err().unwrap();
        assert!(reason.ends_with("is no file name"), "{reason}");
    }
}
