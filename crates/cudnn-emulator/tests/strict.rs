//! What the emulated cuDNN refuses, called as cuDNN is.

use cudnn_emulator::symbol;
use std::ffi::{CStr, c_char, c_int, c_void};

type Create = unsafe extern "C" fn(c_int, *mut usize) -> c_int;
type OfOne = unsafe extern "C" fn(usize) -> c_int;
type Set = unsafe extern "C" fn(usize, c_int, c_int, i64, *const c_void) -> c_int;
type Get = unsafe extern "C" fn(usize, c_int, c_int, i64, *mut i64, *mut c_void) -> c_int;
type LastError = unsafe extern "C" fn(*mut c_char, usize);

const TENSOR: c_int = 17;
const ATTENTION: c_int = 41;
const INT64: c_int = 3;
const DATA_TYPE: c_int = 1;
const BOOLEAN: c_int = 2;
const DESCRIPTOR: c_int = 15;
const BFLOAT16: c_int = 9;
const FLOAT: c_int = 0;

const BAD_PARAM: c_int = 2000;
const NULL_POINTER: c_int = 2002;
const NOT_FINALIZED: c_int = 2004;
const SHAPE_MISMATCH: c_int = 2008;
const ATTRIBUTE_TYPE: c_int = 2010;
const NOT_SUPPORTED: c_int = 3000;

/// A function by its name.
fn function<F: Copy>(name: &CStr) -> F {
    let address = symbol(name).unwrap();
    assert_eq!(size_of::<F>(), size_of_val(&address));
    // SAFETY: each caller names the type that the header gives the function.
    unsafe { std::mem::transmute_copy(&address) }
}

fn create(kind: c_int) -> usize {
    let mut descriptor = 0;
    // SAFETY: a place for one descriptor.
    let status =
        unsafe { function::<Create>(c"cudnnBackendCreateDescriptor")(kind, &mut descriptor) };
    assert_eq!(status, 0);
    descriptor
}

fn finalize(descriptor: usize) -> c_int {
    // SAFETY: no condition: the emulator knows what are descriptors.
    unsafe { function::<OfOne>(c"cudnnBackendFinalize")(descriptor) }
}

fn set<T>(descriptor: usize, name: c_int, attribute_type: c_int, values: &[T]) -> c_int {
    let count = values.len() as i64;
    let set: Set = function(c"cudnnBackendSetAttribute");
    // SAFETY: as many values of that type, where the emulator takes the type.
    unsafe { set(descriptor, name, attribute_type, count, values.as_ptr().cast()) }
}

fn last_error() -> String {
    let mut text = [0u8; 256];
    // SAFETY: as many bytes.
    unsafe { function::<LastError>(c"cudnnGetLastErrorString")(text.as_mut_ptr().cast(), 256) };
    CStr::from_bytes_until_nul(&text).unwrap().to_str().unwrap().to_owned()
}

/// A tensor that isn't finalized.
fn tensor(id: i64, data_type: c_int, shape: [i64; 4], strides: [i64; 4]) -> usize {
    let tensor = create(TENSOR);
    assert_eq!(set(tensor, 906, INT64, &[id]), 0);
    assert_eq!(set(tensor, 901, DATA_TYPE, &[data_type]), 0);
    assert_eq!(set(tensor, 902, INT64, &shape), 0);
    assert_eq!(set(tensor, 903, INT64, &strides), 0);
    assert_eq!(set(tensor, 900, INT64, &[16i64]), 0);
    tensor
}

/// What finalizing an attention of these tensors answers; query, key, value and output.
fn attention(tensors: [usize; 4]) -> c_int {
    let scale = tensor(5, FLOAT, [1; 4], [1; 4]);
    assert_eq!(set(scale, 908, BOOLEAN, &[true]), 0);
    let operation = create(ATTENTION);
    for (name, tensor) in
        [2800, 2801, 2802, 2803, 2805].into_iter().zip(tensors.iter().chain([&scale]))
    {
        assert_eq!(finalize(*tensor), 0, "{}", last_error());
        assert_eq!(set(operation, name, DESCRIPTOR, &[*tensor]), 0);
    }
    finalize(operation)
}

/// A tensor of rows that lie close together.
fn rows(id: i64, rows: i64) -> usize {
    tensor(id, BFLOAT16, [1, 2, rows, 16], [rows * 32, 16, 32, 1])
}

#[test]
fn attributes_have_one_type_and_are_set_once() {
    let one = create(TENSOR);
    assert_eq!(set(one, 906, DATA_TYPE, &[1i32]), ATTRIBUTE_TYPE);
    assert!(last_error().contains("it is a Int64, not of type 1"));
    assert_eq!(set(one, 2800, DESCRIPTOR, &[one]), NOT_SUPPORTED);
    assert_eq!(set(one, 906, INT64, &[1i64]), 0);
    assert_eq!(set(one, 906, INT64, &[1i64]), BAD_PARAM);
    assert!(last_error().contains("it is set already"));
}

#[test]
fn descriptors_are_finalized_once_and_whole() {
    let whole = rows(1, 3);
    assert_eq!(finalize(create(TENSOR)), BAD_PARAM);
    assert_eq!(finalize(whole), 0);
    assert_eq!(finalize(whole), BAD_PARAM);
    assert_eq!(set(whole, 908, BOOLEAN, &[true]), BAD_PARAM);
    let operation = create(ATTENTION);
    assert_eq!(set(operation, 2800, DESCRIPTOR, &[rows(1, 3)]), NOT_FINALIZED);
    assert_eq!(finalize(tensor(1, BFLOAT16, [1, 2, 0, 16], [1; 4])), BAD_PARAM);
}

#[test]
fn what_is_destroyed_is_gone_but_not_for_those_that_hold_it() {
    let destroy: OfOne = function(c"cudnnBackendDestroyDescriptor");
    let query = rows(1, 3);
    assert_eq!(finalize(query), 0);
    let operation = create(ATTENTION);
    assert_eq!(set(operation, 2800, DESCRIPTOR, &[query]), 0);
    // SAFETY: no condition.
    let twice = unsafe { (destroy(query), destroy(query)) };
    assert_eq!(twice, (0, NULL_POINTER));
    assert_eq!(set(operation, 2801, DESCRIPTOR, &[query]), NULL_POINTER);
}

#[test]
fn results_are_asked_of_what_is_finalized() {
    let get: Get = function(c"cudnnBackendGetAttribute");
    let (mut count, mut number) = (0i64, 0i64);
    // SAFETY: places for one number each.
    let status = unsafe { get(rows(1, 3), 906, INT64, 1, &mut count, (&raw mut number).cast()) };
    assert_eq!(status, NOT_FINALIZED);
    let whole = rows(1, 3);
    assert_eq!(finalize(whole), 0);
    // SAFETY: as above.
    let status = unsafe { get(whole, 906, INT64, 1, &mut count, (&raw mut number).cast()) };
    assert_eq!(status, NOT_SUPPORTED);
}

#[test]
fn tensors_of_an_attention_fit_each_other() {
    assert_eq!(attention([rows(1, 3), rows(2, 7), rows(3, 7), rows(4, 3)]), 0);
    assert_eq!(attention([rows(1, 3), rows(2, 7), rows(3, 6), rows(4, 3)]), SHAPE_MISMATCH);
    assert_eq!(attention([rows(1, 3), rows(2, 7), rows(3, 7), rows(4, 4)]), SHAPE_MISMATCH);
    assert_eq!(attention([rows(1, 3), rows(1, 7), rows(3, 7), rows(4, 3)]), BAD_PARAM);
    let half = |id, rows: i64| tensor(id, 2, [1, 2, rows, 16], [rows * 32, 16, 32, 1]);
    assert_eq!(attention([rows(1, 3), half(2, 7), half(3, 7), rows(4, 3)]), NOT_SUPPORTED);
    let float = |id| tensor(id, FLOAT, [1, 2, 3, 16], [96, 16, 32, 1]);
    assert_eq!(attention([float(1), float(2), float(3), float(4)]), NOT_SUPPORTED);
    // Rows that begin at odd places, channels apart, an output with gaps.
    let odd = tensor(2, BFLOAT16, [1, 2, 7, 16], [7 * 33, 16, 33, 1]);
    assert_eq!(attention([rows(1, 3), odd, rows(3, 7), rows(4, 3)]), NOT_SUPPORTED);
    let apart = tensor(2, BFLOAT16, [1, 2, 7, 16], [7 * 64, 32, 64, 2]);
    assert_eq!(attention([rows(1, 3), apart, rows(3, 7), rows(4, 3)]), NOT_SUPPORTED);
    let gaps = tensor(4, BFLOAT16, [1, 2, 3, 16], [3 * 64, 16, 64, 1]);
    assert_eq!(attention([rows(1, 3), rows(2, 7), rows(3, 7), gaps]), NOT_SUPPORTED);
    assert!(last_error().contains("has gaps"));
}
