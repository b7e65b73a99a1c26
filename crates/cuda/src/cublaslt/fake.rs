//! cuBLASLt for tests: notes what it is asked and computes products as its manual says, matrices by
//! columns, over the memory of the fake driver and in the order of its streams.

#![allow(non_snake_case)] // NVIDIA's names.

use super::sys::*;
use crate::fake::Fake;
use crate::sys::StreamHandle;
use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};

thread_local! {
    static LIBRARY: RefCell<FakeLibrary> = RefCell::default();
}

/// What the thread's library was asked, and how it is to answer.
#[derive(Default)]
pub(super) struct FakeLibrary {
    /// Of every question to the heuristic.
    pub asked: Vec<Question>,
    /// Of every check of an algorithm, its number and the rows.
    pub checked: Vec<(u64, u64)>,
    /// Of every product.
    pub products: Vec<Call>,
    /// Descriptions and handles that were created and not destroyed.
    pub live: isize,
    /// Rows that the first algorithm can't compute.
    pub refused_rows: Option<u64>,
    /// Workspace that algorithms say they need for a number of rows.
    pub workspace_for: Option<(u64, usize)>,
    /// What the next call of a function answers.
    pub failure: Option<(&'static str, Status)>,
    /// Whether the heuristic finds nothing.
    pub no_algorithm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Question {
    pub a: Matrix,
    pub b: Matrix,
    pub d: Matrix,
    pub preference: Preference,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Call {
    pub algorithm: u64,
    pub description: Description,
    pub workspace_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Description {
    pub compute_type: c_int,
    pub scale_type: c_int,
    pub transposed: c_int,
    pub epilogue: c_int,
    pub bias: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Matrix {
    pub element_type: c_int,
    pub rows: u64,
    pub columns: u64,
    pub leading: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Preference {
    pub workspace_bytes: usize,
    pub reductions: Option<u32>,
    pub alignments: [u32; 4],
}

/// Looks at the thread's library, or changes it.
pub(super) fn library<R>(with: impl FnOnce(&mut FakeLibrary) -> R) -> R {
    LIBRARY.with_borrow_mut(with)
}

pub(super) fn symbol(name: &CStr) -> Option<*const c_void> {
    Some(match name.to_bytes() {
        b"cublasLtGetVersion" => cublasLtGetVersion as *const c_void,
        b"cublasLtGetStatusName" => cublasLtGetStatusName as *const c_void,
        b"cublasLtGetStatusString" => cublasLtGetStatusString as *const c_void,
        b"cublasLtCreate" => cublasLtCreate as *const c_void,
        b"cublasLtDestroy" => cublasLtDestroy as *const c_void,
        b"cublasLtMatmulDescCreate" => cublasLtMatmulDescCreate as *const c_void,
        b"cublasLtMatmulDescSetAttribute" => cublasLtMatmulDescSetAttribute as *const c_void,
        b"cublasLtMatmulDescDestroy" => destroy::<Description> as *const c_void,
        b"cublasLtMatrixLayoutCreate" => cublasLtMatrixLayoutCreate as *const c_void,
        b"cublasLtMatrixLayoutDestroy" => destroy::<Matrix> as *const c_void,
        b"cublasLtMatmulPreferenceCreate" => cublasLtMatmulPreferenceCreate as *const c_void,
        b"cublasLtMatmulPreferenceSetAttribute" => {
            cublasLtMatmulPreferenceSetAttribute as *const c_void
        }
        b"cublasLtMatmulPreferenceDestroy" => destroy::<Preference> as *const c_void,
        b"cublasLtMatmulAlgoGetHeuristic" => cublasLtMatmulAlgoGetHeuristic as *const c_void,
        b"cublasLtMatmulAlgoCheck" => cublasLtMatmulAlgoCheck as *const c_void,
        b"cublasLtMatmul" => cublasLtMatmul as *const c_void,
        _ => return None,
    })
}

fn failure(function: &str) -> Option<Status> {
    library(|library| {
        let status = library.failure.filter(|(name, _)| *name == function)?.1;
        library.failure = None;
        Some(status)
    })
}

fn create<T>(target: *mut Handle, value: T) -> Status {
    library(|library| library.live += 1);
    // SAFETY: callers give a place for it.
    unsafe { target.write(Box::into_raw(Box::new(value)).cast()) };
    CUBLAS_STATUS_SUCCESS
}

extern "C" fn destroy<T>(handle: Handle) -> Status {
    library(|library| library.live -= 1);
    // SAFETY: made by `create` with the same type.
    drop(unsafe { Box::from_raw(handle.cast::<T>()) });
    CUBLAS_STATUS_SUCCESS
}

fn look<'a, T>(handle: Handle) -> &'a mut T {
    // SAFETY: made by `create` with the same type, and used by one call at a time.
    unsafe { &mut *handle.cast() }
}

fn value<T: Copy>(pointer: *const c_void, bytes: usize) -> T {
    assert_eq!(bytes, size_of::<T>());
    // SAFETY: as many bytes as the caller says.
    unsafe { pointer.cast::<T>().read() }
}

extern "C" fn cublasLtGetVersion() -> usize {
    130_401
}

extern "C" fn cublasLtGetStatusName(status: Status) -> *const c_char {
    match status {
        CUBLAS_STATUS_NOT_SUPPORTED => c"CUBLAS_STATUS_NOT_SUPPORTED".as_ptr(),
        CUBLAS_STATUS_ALLOC_FAILED => c"CUBLAS_STATUS_ALLOC_FAILED".as_ptr(),
        _ => std::ptr::null(),
    }
}

extern "C" fn cublasLtGetStatusString(status: Status) -> *const c_char {
    match status {
        CUBLAS_STATUS_NOT_SUPPORTED => c"not supported".as_ptr(),
        _ => std::ptr::null(),
    }
}

extern "C" fn cublasLtCreate(handle: *mut Handle) -> Status {
    failure("cublasLtCreate").unwrap_or_else(|| create(handle, ()))
}

extern "C" fn cublasLtDestroy(handle: Handle) -> Status {
    destroy::<()>(handle)
}

extern "C" fn cublasLtMatmulDescCreate(
    handle: *mut Handle,
    compute_type: c_int,
    scale_type: c_int,
) -> Status {
    let epilogue = 1; // CUBLASLT_EPILOGUE_DEFAULT
    create(handle, Description { compute_type, scale_type, transposed: 0, epilogue, bias: 0 })
}

extern "C" fn cublasLtMatmulDescSetAttribute(
    handle: Handle,
    attribute: c_int,
    pointer: *const c_void,
    bytes: usize,
) -> Status {
    let description = look::<Description>(handle);
    match attribute {
        CUBLASLT_MATMUL_DESC_TRANSA => description.transposed = value(pointer, bytes),
        CUBLASLT_MATMUL_DESC_EPILOGUE => description.epilogue = value(pointer, bytes),
        CUBLASLT_MATMUL_DESC_BIAS_POINTER => description.bias = value(pointer, bytes),
        _ => return CUBLAS_STATUS_INVALID_VALUE,
    }
    CUBLAS_STATUS_SUCCESS
}

extern "C" fn cublasLtMatrixLayoutCreate(
    handle: *mut Handle,
    element_type: c_int,
    rows: u64,
    columns: u64,
    leading: i64,
) -> Status {
    if rows == 0 || columns == 0 || leading < rows as i64 {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    create(handle, Matrix { element_type, rows, columns, leading })
}

extern "C" fn cublasLtMatmulPreferenceCreate(handle: *mut Handle) -> Status {
    create(handle, Preference::default())
}

extern "C" fn cublasLtMatmulPreferenceSetAttribute(
    handle: Handle,
    attribute: c_int,
    pointer: *const c_void,
    bytes: usize,
) -> Status {
    let preference = look::<Preference>(handle);
    match attribute {
        CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES => {
            preference.workspace_bytes = value(pointer, bytes);
        }
        CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK => {
            preference.reductions = Some(value(pointer, bytes));
        }
        5..=8 => preference.alignments[attribute as usize - 5] = value(pointer, bytes),
        _ => return CUBLAS_STATUS_INVALID_VALUE,
    }
    CUBLAS_STATUS_SUCCESS
}

extern "C" fn cublasLtMatmulAlgoGetHeuristic(
    _handle: Handle,
    _description: Handle,
    a: Handle,
    b: Handle,
    c: Handle,
    d: Handle,
    preference: Handle,
    requested: c_int,
    results: *mut HeuristicResult,
    returned: *mut c_int,
) -> Status {
    if let Some(status) = failure("cublasLtMatmulAlgoGetHeuristic") {
        return status;
    }
    assert_eq!((requested, c), (1, d));
    let number = library(|library| {
        library.asked.push(Question {
            a: *look(a),
            b: *look(b),
            d: *look(d),
            preference: *look(preference),
        });
        (!library.no_algorithm).then_some(library.asked.len() as u64)
    });
    // SAFETY: places for one result and one number.
    unsafe {
        returned.write(number.is_some().into());
        if let Some(number) = number {
            (*results).algorithm = Algorithm([number; 8]);
            (*results).workspace_size = 64;
        }
    }
    CUBLAS_STATUS_SUCCESS
}

extern "C" fn cublasLtMatmulAlgoCheck(
    _handle: Handle,
    _description: Handle,
    _a: Handle,
    _b: Handle,
    _c: Handle,
    d: Handle,
    algorithm: *const Algorithm,
    result: *mut HeuristicResult,
) -> Status {
    if let Some(status) = failure("cublasLtMatmulAlgoCheck") {
        return status;
    }
    // SAFETY: the caller's algorithm.
    let number = unsafe { (*algorithm).0[0] };
    let rows = look::<Matrix>(d).columns;
    library(|library| {
        library.checked.push((number, rows));
        if library.refused_rows == Some(rows) {
            return CUBLAS_STATUS_NOT_SUPPORTED;
        }
        let needed = library.workspace_for.filter(|(of, _)| *of == rows).map_or(64, |(_, n)| n);
        // SAFETY: the caller's result.
        unsafe { (*result).workspace_size = needed };
        CUBLAS_STATUS_SUCCESS
    })
}

extern "C" fn cublasLtMatmul(
    _handle: Handle,
    description: Handle,
    alpha: *const c_void,
    a: u64,
    a_layout: Handle,
    b: u64,
    b_layout: Handle,
    beta: *const c_void,
    c: u64,
    c_layout: Handle,
    d: u64,
    d_layout: Handle,
    algorithm: *const Algorithm,
    workspace: u64,
    workspace_bytes: usize,
    stream: StreamHandle,
) -> Status {
    if let Some(status) = failure("cublasLtMatmul") {
        return status;
    }
    let description = *look::<Description>(description);
    assert_eq!((c, c_layout), (d, d_layout));
    assert_eq!((value::<f32>(alpha, 4), value::<f32>(beta, 4)), (1.0, 0.0));
    assert_eq!(description.transposed, CUBLAS_OP_T);
    let (a_is, b_is, d_is) = (*look(a_layout), *look(b_layout), *look(d_layout));
    library(|library| {
        // SAFETY: the caller's algorithm.
        let algorithm = unsafe { (*algorithm).0[0] };
        library.products.push(Call { algorithm, description, workspace_bytes });
    });
    Fake::current().enqueue(stream, move |fake| {
        fake.at(workspace, workspace_bytes);
        multiply(fake, description, (a, a_is), (b, b_is), (d, d_is));
    });
    CUBLAS_STATUS_SUCCESS
}

/// D = Aᵀ · B, by columns, with the bias of each of D's rows.
fn multiply(
    fake: &Fake,
    description: Description,
    (a, a_is): (u64, Matrix),
    (b, b_is): (u64, Matrix),
    (d, d_is): (u64, Matrix),
) {
    assert_eq!((a_is.rows, a_is.columns, b_is.columns), (b_is.rows, d_is.rows, d_is.columns));
    let size = if d_is.element_type == CUDA_R_32F { 4 } else { 2 };
    let at = |start: u64, matrix: Matrix, row: u64, column: u64| {
        let index = row + column * matrix.leading as u64;
        fake.at(start + index * size, size as usize).expect("memory that is there")
    };
    for column in 0..d_is.columns {
        for row in 0..d_is.rows {
            let mut sum = 0.0;
            for inner in 0..a_is.rows {
                let left = read(at(a, a_is, inner, row), a_is.element_type);
                sum += left * read(at(b, b_is, inner, column), b_is.element_type);
            }
            if description.epilogue == CUBLASLT_EPILOGUE_BIAS {
                let bias = description.bias + row * size;
                let bias = fake.at(bias, size as usize).expect("memory that is there");
                sum += read(bias, d_is.element_type);
            }
            write(at(d, d_is, row, column), d_is.element_type, sum);
        }
    }
}

/// The number there; float16 as those of the tests, which are normal or 0.
fn read(address: *mut u8, element_type: c_int) -> f32 {
    // SAFETY: memory that is there, of that type's size; of any alignment.
    unsafe {
        match element_type {
            CUDA_R_32F => address.cast::<f32>().read_unaligned(),
            CUDA_R_16BF => f32::from_bits(u32::from(address.cast::<u16>().read_unaligned()) << 16),
            _ => half_to_single(address.cast::<u16>().read_unaligned()),
        }
    }
}

/// Writes a number that the type has.
fn write(address: *mut u8, element_type: c_int, number: f32) {
    // SAFETY: as for `read`.
    unsafe {
        match element_type {
            CUDA_R_32F => address.cast::<f32>().write_unaligned(number),
            CUDA_R_16BF => address.cast::<u16>().write_unaligned((number.to_bits() >> 16) as u16),
            _ => address.cast::<u16>().write_unaligned(single_to_half(number)),
        }
    }
}

pub(super) fn half_to_single(bits: u16) -> f32 {
    let (sign, rest) = (u32::from(bits >> 15) << 31, u32::from(bits & 0x7fff));
    if rest == 0 { 0.0 } else { f32::from_bits(sign | ((rest << 13) + (112 << 23))) }
}

pub(super) fn single_to_half(number: f32) -> u16 {
    let bits = number.to_bits();
    if number == 0.0 {
        return 0;
    }
    ((bits >> 16 & 0x8000) | ((bits & 0x7fff_ffff) - (112 << 23)) >> 13) as u16
}
