//! Folders of Python packages, found without running Python.

use super::search::Environment;
use std::path::{Path, PathBuf};

/// The folders of libraries that NVIDIA's packages have, in every Python that can be found: the
/// active environments first, then those whose `python3` is on `PATH`, then the user's packages.
pub(super) fn library_folders(environment: &Environment) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for site in site_folders(environment) {
        // `nvidia/cublas/lib` and `nvidia/cudnn/lib`; with CUDA 13 `nvidia/cu13/lib` for most.
        for package in subfolders(&site.join("nvidia")) {
            let folder = package.join("lib");
            if folder.is_dir() && !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    folders
}

fn site_folders(environment: &Environment) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = environment.folders("PYTHONPATH");
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = environment.folder(variable) {
            folders.extend(sites_of(&prefix));
        }
    }
    for bin in environment.folders("PATH") {
        let Some(python) =
            ["python3", "python"].iter().map(|name| bin.join(name)).find(|python| python.exists())
        else {
            continue;
        };
        // A virtual environment's python3 is a link: its packages are beside the link, those of
        // the Python that it was made from beside the link's end.
        let real = python.canonicalize().ok();
        for python in [Some(python), real].into_iter().flatten() {
            if let Some(prefix) = python.parent().and_then(Path::parent) {
                folders.extend(sites_of(prefix));
            }
        }
    }
    if let Some(home) = environment.folder("HOME") {
        folders.extend(sites_of(&home.join(".local")));
    }
    folders
}

/// `lib/python3.12/site-packages`, and Debian's names for it.
fn sites_of(prefix: &Path) -> Vec<PathBuf> {
    let mut sites = Vec::new();
    for lib in ["lib", "lib64"] {
        for python in subfolders(&prefix.join(lib)) {
            let is_python = python
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("python3"));
            if is_python {
                sites.push(python.join("site-packages"));
                sites.push(python.join("dist-packages"));
            }
        }
    }
    sites
}

/// The folders in a folder, by name; none where it can't be read.
pub(super) fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<_> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}
