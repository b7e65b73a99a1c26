//! That the generated files are whole, and what the sources beside them make.

use super::*;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Packs and manifest together; they are part of the addon.
const MOST_BYTES: u64 = 4 << 20;

/// What tests read of the manifest besides.
#[derive(Deserialize)]
struct Provenance {
    sources: BTreeMap<String, String>,
    packs: BTreeMap<String, Hashed>,
    variants: Vec<Source>,
}

#[derive(Deserialize)]
struct Hashed {
    sha256: String,
}

#[derive(Deserialize)]
struct Source {
    name: String,
    source: String,
    kernel: String,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn provenance() -> Provenance {
    serde_json::from_str(MANIFEST).unwrap()
}

/// The names of a kernel's parameters, from `def <kernel>(`, or in C++ ` <kernel>(`, to the parenthesis
/// that closes it.
fn parameters(source: &str, kernel: &str) -> Vec<String> {
    let python = source.split_once(&format!("\ndef {kernel}("));
    let found = python.or_else(|| source.split_once(&format!(" {kernel}(")));
    let (_, rest) = found.expect("the kernel is in its source");
    let mut depth = 1;
    let end = rest.find(|letter| {
        depth += match letter {
            '(' | '[' => 1,
            ')' | ']' => -1,
            _ => 0,
        };
        depth == 0
    });
    let lines: Vec<&str> = rest[..end.expect("closed")]
        .lines()
        .map(|line| line.split('#').next().expect("one part at least"))
        .collect();
    lines
        .join(" ")
        .split(',')
        .map(|parameter| parameter.split([':', '=']).next().expect("one part").trim())
        // In C++ the type goes before.
        .map(|parameter| parameter.rsplit([' ', '*']).next().expect("one part").to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn the_packs_are_what_the_manifest_says() {
    for (name, pack) in provenance().packs {
        let target = Target::ALL.into_iter().find(|target| target.name() == name);
        let target = target.unwrap_or_else(|| panic!("{name} is no target"));
        assert_eq!(sha256(target.packed()), pack.sha256, "{name}");
    }
}

#[test]
fn the_kernels_are_compiled_from_the_sources_beside_them() {
    const AGAIN: &str = "run python crates/cuda-kernels/kernels/compile.py";
    let told = provenance().sources;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder("kernels")).unwrap() {
        let path = entry.unwrap().path();
        if ["py", "cu", "cuh"].iter().any(|kind| path.extension().is_some_and(|of| of == *kind)) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.insert(name, sha256(&fs::read(&path).unwrap()));
        }
    }
    assert_eq!(found, told, "{AGAIN}");
}

#[test]
fn kernels_take_the_arguments_that_the_manifest_says() {
    let manifest = Manifest::read().unwrap();
    for (variant, source) in manifest.variants.iter().zip(provenance().variants) {
        assert_eq!(variant.name, source.name);
        let text = fs::read_to_string(folder("kernels").join(&source.source)).unwrap();
        let declared = parameters(&text, &source.kernel);
        let arguments: Vec<&String> = variant.arguments.iter().map(|(name, _)| name).collect();
        for compiled in variant.targets.values() {
            let taken: Vec<&String> =
                declared.iter().filter(|name| !compiled.constants.contains_key(*name)).collect();
            assert_eq!(taken, arguments, "{}", variant.name);
        }
    }
}

#[test]
fn every_target_has_every_kernel_of_triton_and_one_its_own() {
    let variants = provenance().variants;
    for target in Target::ALL {
        let pack = Pack::open(target).unwrap();
        let has = |variant: &&Source| {
            variant.source.ends_with(".py") || matches!(target, Target::V9_0 | Target::Ptx)
        };
        let expected: Vec<&Source> = variants.iter().filter(has).collect();
        let mut there: Vec<&str> = pack.names().collect();
        let mut names: Vec<&str> = expected.iter().map(|variant| variant.name.as_str()).collect();
        there.sort();
        names.sort();
        assert_eq!(there, names, "{}", target.name());
        for Source { name, source, .. } in expected {
            let kernel = pack.kernel(name).unwrap();
            let image = pack.image(kernel).unwrap();
            if target == Target::Ptx {
                let text = std::str::from_utf8(image.strip_suffix(b"\0").unwrap()).unwrap();
                let entry = format!(".entry {}(", kernel.entry.to_str().unwrap());
                let of = if source.ends_with(".py") { ".target sm_80" } else { ".target sm_90a" };
                assert!(text.contains(&entry) && text.contains(of), "{name}");
            } else {
                assert!(image.starts_with(b"\x7fELF"), "{name} for {}", target.name());
            }
        }
    }
}

#[test]
fn the_generated_files_are_small() {
    let entries = fs::read_dir(folder("generated")).unwrap();
    let sizes = entries.map(|entry| entry.unwrap().metadata().unwrap().len());
    let bytes: u64 = sizes.sum();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

#[test]
fn devices_get_the_code_that_they_run() {
    let of = |major, minor| Target::of((major, minor)).unwrap();
    for minor in [0, 6, 7] {
        assert_eq!(of(8, minor), Target::V8_0);
    }
    assert_eq!([of(8, 9), of(9, 0)], [Target::V8_9, Target::V9_0]);
    assert_eq!([of(10, 0), of(12, 0)], [Target::V10_0, Target::V12_0]);
    for (major, minor) in [(8, 8), (10, 3), (11, 0), (12, 1), (99, 0)] {
        assert_eq!(of(major, minor), Target::Ptx);
    }
    let refused = Target::of((7, 5)).unwrap_err();
    assert_eq!(refused.code, CudaErrorCode::Unsupported);
    assert!(refused.message.contains("7.5"));
}

#[test]
fn a_kernel_that_the_pack_lacks_is_named() {
    let refused = Pack::open(Target::V9_0).unwrap().kernel("copy_3").err().unwrap();
    assert_eq!(refused.to_string(), "cuda-kernels: internal error: no kernel copy_3 for 9.0");
}
