//! Searches through folders that the tests make, and surveys over the fake driver.

use super::survey::survey_of;
use super::*;
use crate::driver::{Driver, Refusal};
use crate::fake::Fake;
use crate::sys::CUDA_ERROR_LAUNCH_FAILED;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A folder of the test's own, removed with it.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Root {
        let folder = format!("cuda-libraries-{name}-{}", std::process::id());
        let root = Root(std::env::temp_dir().join(folder));
        std::fs::create_dir_all(&root.0).unwrap();
        root
    }

    /// A file that has a library's name and is none.
    fn file(&self, path: &str) -> PathBuf {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"no library").unwrap();
        path
    }

    fn paths(&self, variables: &[(&'static str, String)]) -> SearchPaths {
        let variables: HashMap<_, _> = variables.iter().cloned().collect();
        SearchPaths::new(move |name| variables.get(name).map(OsString::from), &self.0)
    }

    fn join(&self, path: &str) -> String {
        self.0.join(path).to_str().unwrap().to_owned()
    }

    /// The files of this folder that a search came by, in order.
    fn came_by(&self, tried: &Tried) -> Vec<String> {
        let inside = tried.attempts.iter().filter_map(|a| a.file.strip_prefix(&self.0).ok());
        inside.map(|path| path.to_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens nothing, even where the machine has the library.
fn none(_: &Library) -> Result<(), String> {
    Err("is not wanted".to_owned())
}

/// The fake's driver, as from a file.
fn opened(fake: &'static Fake) -> Result<Arc<Driver>, Refusal> {
    fake.driver().map_err(|error| Refusal { error, found: true })
}

#[test]
fn places_are_searched_in_order() {
    let root = Root::new("order");
    let files = [
        "mine/libnccl.so.2",
        "toolkit/lib64/libnccl.so.2",
        "usr/local/cuda-12.8/lib64/libnccl.so.2",
        "usr/local/cuda-13.0/lib64/libnccl.so.2",
        "venv/lib/python3.12/site-packages/nvidia/nccl/lib/libnccl.so.2",
        "conda/lib/python3.13/site-packages/nvidia/nccl/lib/libnccl.so.2",
        "py/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2",
        "home/.local/lib/python3.11/site-packages/nvidia/nccl/lib/libnccl.so.2",
    ];
    for file in files {
        root.file(file);
    }
    root.file("py/bin/python3");
    root.file("usr/local/lib/libnccl.so.2");
    root.file("other/bin/tool");
    let paths = root.paths(&[
        ("WAN_CUDA_LIBRARIES", format!("{}:{}", root.join("empty"), root.join("mine"))),
        ("CUDA_HOME", root.join("toolkit")),
        ("CUDA_PATH", String::new()),
        ("VIRTUAL_ENV", root.join("venv")),
        ("CONDA_PREFIX", root.join("conda")),
        ("PATH", format!("{}:{}", root.join("other/bin"), root.join("py/bin"))),
        ("HOME", root.join("home")),
    ]);
    let tried = paths.open(LibraryKind::Nccl, None, none).unwrap_err();
    assert_eq!(root.came_by(&tried), files);
    assert!(tried.found_a_file());
    assert_eq!(tried.attempts[1].file, Path::new("libnccl.so.2"), "the loader, after one's own");
    assert_eq!(tried.folders, [root.0.join("empty")]);
    let text = tried.to_string();
    assert!(text.ends_with(&format!("; not in {}", root.join("empty"))), "{text}");
    assert!(text.contains(&root.join("venv/lib")), "{text}");
}

#[test]
fn a_virtual_environment_on_the_path_has_its_own_packages_and_those_of_its_python() {
    let root = Root::new("link");
    let real = root.file("usr/bin/python3.11");
    root.file("usr/lib/python3.11/dist-packages/nvidia/cudnn/lib/libcudnn.so.9");
    root.file("venv/lib/python3.11/site-packages/nvidia/cudnn/lib/libcudnn.so.9");
    std::fs::create_dir_all(root.0.join("venv/bin")).unwrap();
    std::os::unix::fs::symlink(real, root.0.join("venv/bin/python3")).unwrap();
    let paths = root.paths(&[("PATH", root.join("venv/bin"))]);
    let tried = paths.open(LibraryKind::Cudnn, None, none).unwrap_err();
    let files = root.came_by(&tried);
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files[0].starts_with("venv/"), "{files:?}");
    assert!(files[1].starts_with("usr/lib/python3.11/dist-packages"), "{files:?}");
}

#[test]
fn libraries_for_a_newer_cuda_than_the_drivers_are_passed_over() {
    let root = Root::new("version");
    for file in ["mine/libcublasLt.so.12", "mine/libcublasLt.so.13"] {
        root.file(file);
    }
    let paths = root.paths(&[("WAN_CUDA_LIBRARIES", root.join("mine"))]);
    let open = |driver| paths.open(LibraryKind::CublasLt, driver, none).unwrap_err();
    for driver in [None, Some((13, 0)), Some((14, 1))] {
        let newest_first = ["mine/libcublasLt.so.13", "mine/libcublasLt.so.12"];
        assert_eq!(root.came_by(&open(driver)), newest_first);
    }
    let tried = open(Some((12, 8)));
    assert_eq!(root.came_by(&tried), ["mine/libcublasLt.so.12"]);
    let reason = "libcublasLt.so.13 is for CUDA 13, and the driver knows up to CUDA 12.8";
    assert_eq!(tried.attempts[0].reason, reason);
}

#[test]
fn a_driver_that_is_named_is_the_only_one_tried() {
    let root = Root::new("driver");
    let file = root.file("mine/libcuda.so");
    root.file("usr/lib64/libcuda.so.1");
    let named = root.paths(&[("WAN_CUDA_DRIVER", root.join("mine/libcuda.so"))]);
    let tried = named.open(LibraryKind::Driver, None, none).unwrap_err();
    assert_eq!(tried.attempts.len(), 1);
    assert_eq!((&tried.attempts[0].file, tried.attempts[0].found), (&file, true));
    assert!(tried.to_string().starts_with("WAN_CUDA_DRIVER: "), "{tried}");

    let named = root.paths(&[("WAN_CUDA_DRIVER", root.join("absent.so"))]);
    let tried = named.open(LibraryKind::Driver, None, none).unwrap_err();
    assert!(!tried.found_a_file());
    assert!(tried.to_string().contains(&root.join("absent.so")), "{tried}");

    let tried = root.paths(&[]).open(LibraryKind::Driver, None, none).unwrap_err();
    assert_eq!(root.came_by(&tried), ["usr/lib64/libcuda.so.1"]);
    assert_eq!(tried.attempts[0].file, Path::new("libcuda.so.1"));
}

#[test]
fn a_driver_never_comes_from_a_toolkit() {
    let root = Root::new("stub");
    root.file("usr/local/cuda/lib64/libcuda.so.1");
    let paths = root.paths(&[("CUDA_HOME", root.join("usr/local/cuda"))]);
    let tried = paths.open(LibraryKind::Driver, None, none).unwrap_err();
    assert_eq!(root.came_by(&tried), Vec::<String>::new());
}

#[test]
fn nothing_at_all_is_told_as_missing() {
    let root = Root::new("nothing");
    let paths = root.paths(&[]);
    let tried = paths.open(LibraryKind::Driver, None, none).unwrap_err();
    assert_eq!(tried.folders.len(), 6);
    assert!(tried.to_string().contains("usr/lib/wsl/lib"), "{tried}");
    let absent = root.paths(&[("WAN_CUDA_DRIVER", root.join("absent.so"))]);
    let survey = survey_of(&absent, Driver::open_in(&absent));
    let DriverSurvey::Missing { message } = survey.driver else { panic!("no driver") };
    assert!(message.starts_with("dlopen: no NVIDIA driver: WAN_CUDA_DRIVER: "), "{message}");
    assert!(message.contains("install the system's driver package"), "{message}");
    let kinds: Vec<_> = survey.libraries.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [LibraryKind::CublasLt, LibraryKind::Cudnn, LibraryKind::Nccl]);
}

#[test]
fn libraries_are_told_as_found_broken_or_missing() {
    let root = Root::new("broken");
    root.file("mine/libcudnn.so.9");
    let paths = root.paths(&[("WAN_CUDA_LIBRARIES", root.join("mine"))]);
    let fake = Fake::new();
    let survey = survey_of(&paths, opened(fake));
    for (kind, library) in survey.libraries {
        match library {
            // The machine's own, by the loader.
            LibrarySurvey::Found { path, version } => {
                assert!(!path.starts_with(&root.0), "{kind:?} {version}");
            }
            LibrarySurvey::Broken { tried, how_to_get_it } => {
                assert_eq!(kind, LibraryKind::Cudnn);
                assert_eq!(root.came_by(&tried), ["mine/libcudnn.so.9"]);
                assert!(how_to_get_it.contains("nvidia-cudnn"), "{how_to_get_it}");
            }
            LibrarySurvey::Missing { tried, .. } => {
                assert_ne!(kind, LibraryKind::Cudnn);
                assert!(!tried.attempts.is_empty());
            }
        }
    }
}

#[test]
fn a_driver_that_works_is_told_with_its_devices() {
    let fake = Fake::new();
    fake.devices.store(2, Ordering::Relaxed);
    let driver = opened(fake);
    fake.fail("cuDeviceTotalMem_v2", CUDA_ERROR_LAUNCH_FAILED);
    let survey = survey_of(&Root::new("works").paths(&[]), driver);
    let DriverSurvey::Works { path, version, devices } = survey.driver else { panic!("works") };
    assert_eq!((path, version), (None, (12, 8)));
    assert_eq!(devices[0].as_ref().unwrap_err().function, "cuDeviceTotalMem_v2");
    let second = DeviceSurvey {
        index: 1,
        name: "Fake 1".into(),
        compute_capability: (9, 0),
        multiprocessors: 132,
        total_memory: 64 << 20,
        memory_pools: true,
    };
    assert_eq!(devices[1], Ok(second));
    assert_eq!(fake.count("cuDevicePrimaryCtxRetain"), 0, "a survey makes no context");
}

#[test]
fn a_driver_without_device_and_a_broken_one_are_different_answers() {
    let root = Root::new("different");
    let paths = root.paths(&[]);
    let fake = Fake::new();
    fake.devices.store(0, Ordering::Relaxed);
    let survey = survey_of(&paths, opened(fake));
    let DriverSurvey::NoDevice { message } = survey.driver else { panic!("no device") };
    assert!(message.contains("nvidia-smi"), "{message}");

    let text =
        root.paths(&[("WAN_CUDA_DRIVER", root.file("libcuda.so.1").to_str().unwrap().into())]);
    let survey = survey_of(&paths, Driver::open_in(&text));
    let DriverSurvey::Broken { message } = survey.driver else { panic!("broken") };
    assert!(message.contains("libcuda.so.1"), "{message}");

    let fake = Fake::new();
    fake.lacks("cuInit");
    let survey = survey_of(&paths, opened(fake));
    let DriverSurvey::Broken { message } = survey.driver else { panic!("broken") };
    assert!(message.contains("lacks cuInit"), "{message}");

    let fake = Fake::new();
    fake.fail("cuInit", 999);
    let survey = survey_of(&paths, opened(fake));
    assert!(matches!(survey.driver, DriverSurvey::Broken { .. }));
}

#[test]
fn a_survey_of_this_machine_answers() {
    let survey = survey();
    assert_eq!(survey.libraries.len(), 3);
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let Some(active) = active.filter(|active| active.is_dir()) else { return };
    // What the active environment's packages hold is found.
    let paths = SearchPaths::from_environment();
    for (kind, library) in survey.libraries {
        let Err(tried) = paths.open(kind, None, none) else { panic!("nothing is wanted") };
        let inside = tried.attempts.iter().any(|attempt| attempt.file.starts_with(&active));
        assert!(!inside || matches!(library, LibrarySurvey::Found { .. }), "{library:?}");
    }
}
