//! Finding an MPI library, and telling which kind it is.

use super::settings::{MpiLauncher, MpiSettings};
use std::ffi::{CStr, CString, c_char, c_int, c_void};

/// The environment variable that names the library, for messages.
pub const LIBRARY_VARIABLE: &str = "WAN_MPI_LIBRARY";

/// Libraries of one binary interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpiFamily {
    /// Handles are addresses of objects that the library exports.
    OpenMpi,
    /// Handles are numbers; MPICH, Intel MPI, MVAPICH and others that keep to MPICH's interface.
    Mpich,
    /// The interface of MPI 5, which any library may offer.
    Standard,
}

impl MpiFamily {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI",
            Self::Mpich => "MPICH",
            Self::Standard => "MPI's standard interface",
        }
    }

    /// Names under which the system's loader knows such libraries.
    const fn names(self) -> &'static [&'static str] {
        if cfg!(target_os = "macos") {
            match self {
                Self::OpenMpi => &["libmpi.40.dylib"],
                Self::Mpich => &["libmpi.12.dylib", "libmpich.12.dylib"],
                Self::Standard => &["libmpi_abi.1.dylib", "libmpi_abi.dylib"],
            }
        } else {
            match self {
                Self::OpenMpi => &["libmpi.so.40"],
                Self::Mpich => &["libmpich.so.12", "libmpi.so.12"],
                Self::Standard => &["libmpi_abi.so.1", "libmpi_abi.so"],
            }
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::OpenMpi => "libopenmpi3 (Debian, Ubuntu) or openmpi (Fedora, conda, Homebrew)",
            Self::Mpich => "libmpich12 (Debian, Ubuntu) or mpich (Fedora, conda, Homebrew)",
            Self::Standard => "MPICH 5 or Open MPI 6",
        }
    }
}

impl MpiLauncher {
    /// Families that can speak to it, the likeliest first.
    fn families(self) -> &'static [MpiFamily] {
        match self {
            Self::OpenMpi => &[MpiFamily::OpenMpi, MpiFamily::Standard],
            Self::Pmi => &[MpiFamily::Mpich, MpiFamily::Standard],
            Self::Any => &[MpiFamily::OpenMpi, MpiFamily::Mpich, MpiFamily::Standard],
        }
    }

    /// Families that can't.
    fn strangers(self) -> &'static [MpiFamily] {
        match self {
            Self::OpenMpi => &[MpiFamily::Mpich],
            Self::Pmi => &[MpiFamily::OpenMpi],
            Self::Any => &[],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI's mpirun",
            Self::Pmi => "a launcher that speaks PMI (MPICH's mpiexec, srun --mpi=pmi2)",
            Self::Any => "the launcher",
        }
    }
}

/// An MPI library in this process.
pub(super) struct Library {
    handle: *mut c_void,
    pub family: MpiFamily,
    /// What it says of itself, in one line.
    pub version: String,
}

// SAFETY: the handle is only passed to `dlsym`, which any thread may call.
unsafe impl Send for Library {}

/// Why there is no library: what must be the case, and what is.
pub(super) type Missing = (String, String);

impl Library {
    /// Opens the library that `settings` name, or the first one that fits the launcher.
    pub(super) fn open(settings: &MpiSettings) -> Result<Library, Missing> {
        let launcher = settings.launcher;
        if let Some(name) = &settings.library {
            return Library::load(name).map_err(|reason| {
                let expected = format!("{LIBRARY_VARIABLE} must name a library of MPI");
                (expected, format!("{LIBRARY_VARIABLE}={name}: {reason}"))
            });
        }
        let names = || launcher.families().iter().flat_map(|family| family.names());
        let mut reasons = Vec::new();
        for name in names() {
            match Library::load(name) {
                Ok(library) => return Ok(library),
                Err(reason) => reasons.push(reason),
            }
        }
        let strangers = launcher.strangers().iter();
        let stranger = strangers
            .flat_map(|family| family.names().iter().map(|name| (*family, *name)))
            .find(|(_, name)| open(name).is_ok());
        let there = stranger.map_or_else(String::new, |(family, name)| {
            let name = format!("; there is {name}, which is {}'s", family.name());
            format!("{name} and would start every rank as a run of its own")
        });
        let packages: Vec<_> =
            launcher.families().iter().take(2).map(|family| family.package()).collect();
        Err((
            format!(
                "{} needs an MPI library of its own kind: install {}, or name one in \
                 {LIBRARY_VARIABLE}",
                launcher.name(),
                packages.join(", or ")
            ),
            format!("no MPI library could be opened ({}){there}", reasons.join("; ")),
        ))
    }

    fn load(name: &str) -> Result<Library, String> {
        let handle = open(name)?;
        let version = version(handle).ok_or_else(|| format!("{name} is no MPI library"))?;
        let family = if !symbol(handle, c"ompi_mpi_comm_world").is_null() {
            MpiFamily::OpenMpi
        } else if name.contains("mpi_abi") {
            MpiFamily::Standard
        } else if ["MPICH", "Intel", "MVAPICH"].iter().any(|known| version.contains(known)) {
            MpiFamily::Mpich
        } else {
            return Err(format!("{name} is an MPI library of an unknown kind: {version}"));
        };
        Ok(Library { handle, family, version })
    }

    /// Lets go of the library once MPI is finalised and nothing of it is in use.
    ///
    /// MPICH takes leave of its launcher in a hook of `exit`, or of being let go. Runtimes that end
    /// by `quick_exit` never come to the former, and the launcher takes that for a failure.
    pub(super) fn close(self) {
        if self.family != MpiFamily::OpenMpi && !self.version.contains("Open MPI") {
            // SAFETY: open, and closed once; the caller keeps none of its addresses.
            unsafe { libc::dlclose(self.handle) };
        }
    }

    /// The address of what the library exports by that name.
    pub(super) fn symbol(&self, name: &CStr) -> Result<*mut c_void, Missing> {
        let address = symbol(self.handle, name);
        if address.is_null() {
            let name = name.to_string_lossy();
            return Err((
                format!("a library of MPI 3 exports {name}"),
                format!("{} does not", self.version),
            ));
        }
        Ok(address)
    }
}

fn open(name: &str) -> Result<*mut c_void, String> {
    let text = CString::new(name).map_err(|_| format!("{name:?} is no file name"))?;
    // SAFETY: a valid string. Opening a library runs what it has to run at its start; that of an
    // MPI library sets it up. Its parts look for its symbols among the global ones.
    let handle = unsafe { libc::dlopen(text.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: returns a string that lasts until the next call of this thread, or null.
    let reason = unsafe { libc::dlerror() };
    if reason.is_null() {
        return Err(format!("{name} can't be opened"));
    }
    // SAFETY: as above.
    Err(unsafe { CStr::from_ptr(reason) }.to_string_lossy().into_owned())
}

fn symbol(handle: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: an open library and a valid string.
    unsafe { libc::dlsym(handle, name.as_ptr()) }
}

/// The first line of the library's version, which it tells before it is initialised too.
fn version(handle: *mut c_void) -> Option<String> {
    /// More than any library's `MPI_MAX_LIBRARY_VERSION_STRING`.
    const ROOM: usize = 16 << 10;
    let address = symbol(handle, c"MPI_Get_library_version");
    if address.is_null() {
        return None;
    }
    // SAFETY: MPI gives the function this signature.
    let get: unsafe extern "C" fn(*mut c_char, *mut c_int) -> c_int =
        unsafe { std::mem::transmute(address) };
    let mut text = vec![0u8; ROOM];
    let mut length = 0;
    // SAFETY: the room is larger than the longest text.
    let code = unsafe { get(text.as_mut_ptr().cast(), &mut length) };
    let text = CStr::from_bytes_until_nul(&text).ok().filter(|_| code == 0)?.to_string_lossy();
    // MPICH aligns what it says in columns, a line each.
    let line = text.lines().next().unwrap_or_default();
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(launcher: MpiLauncher, library: Option<&str>) -> Missing {
        let library = library.map(str::to_owned);
        Library::open(&MpiSettings { launcher, library, ..MpiSettings::default() }).err().unwrap()
    }

    #[test]
    fn says_which_library_it_was_told_to_open_and_why_it_could_not() {
        let (expected, found) = refusal(MpiLauncher::Any, Some("/nowhere/libmpi.so"));
        assert!(expected.contains(LIBRARY_VARIABLE), "{expected}");
        assert!(found.contains("WAN_MPI_LIBRARY=/nowhere/libmpi.so: "), "{found}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn refuses_libraries_of_other_kinds() {
        let (_, found) = refusal(MpiLauncher::Any, Some("libc.so.6"));
        assert!(found.ends_with("libc.so.6 is no MPI library"), "{found}");
    }

    #[test]
    fn every_launcher_has_libraries_and_no_stranger_is_among_them() {
        for launcher in [MpiLauncher::OpenMpi, MpiLauncher::Pmi, MpiLauncher::Any] {
            assert!(!launcher.families().is_empty());
            assert!(launcher.strangers().iter().all(|other| !launcher.families().contains(other)));
        }
    }
}
