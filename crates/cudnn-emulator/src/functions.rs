//! The functions, under their names.

#![allow(non_snake_case, reason = "the names that cudnn_graph.h gives them")]

use crate::attribute::{Access, Type, Value, declared, name};
use crate::descriptor::{Attributes, Described, Descriptor, Finalized, Kind};
use crate::run::{WORKSPACE_BYTES, run};
use crate::state::{State, state};
use crate::status::{Failure, Status, answer, last};
use crate::{finalize, memory};
use driver_in_use::{Stream, driver};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;

/// The version that it says it is: 9.26.0, for CUDA 12.9.
const VERSION: usize = 92_600;
const CUDA_VERSION: usize = 12_090;
/// Of the cuBLASLt that it stands for.
const CUBLASLT_VERSION: usize = 120_901;
/// `CUDNN_HEUR_MODE_A`: the one mode in which it knows a way of computing.
const MODE_A: i64 = 3;

/// The function of that name.
pub fn symbol(name: &CStr) -> Option<*const c_void> {
    Some(match name.to_bytes() {
        b"cudnnGetVersion" => cudnnGetVersion as *const c_void,
        b"cudnnGetCudartVersion" => cudnnGetCudartVersion as *const c_void,
        b"cudnnGetErrorString" => cudnnGetErrorString as *const c_void,
        b"cudnnGetLastErrorString" => cudnnGetLastErrorString as *const c_void,
        b"cudnnCreate" => cudnnCreate as *const c_void,
        b"cudnnDestroy" => cudnnDestroy as *const c_void,
        b"cudnnSetStream" => cudnnSetStream as *const c_void,
        b"cudnnBackendCreateDescriptor" => cudnnBackendCreateDescriptor as *const c_void,
        b"cudnnBackendDestroyDescriptor" => cudnnBackendDestroyDescriptor as *const c_void,
        b"cudnnBackendFinalize" => cudnnBackendFinalize as *const c_void,
        b"cudnnBackendSetAttribute" => cudnnBackendSetAttribute as *const c_void,
        b"cudnnBackendGetAttribute" => cudnnBackendGetAttribute as *const c_void,
        b"cudnnBackendExecute" => cudnnBackendExecute as *const c_void,
        _ => return None,
    })
}

#[unsafe(no_mangle)]
extern "C" fn cudnnGetVersion() -> usize {
    VERSION
}

#[unsafe(no_mangle)]
extern "C" fn cudnnGetCudartVersion() -> usize {
    CUDA_VERSION
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtGetVersion() -> usize {
    CUBLASLT_VERSION
}

#[unsafe(no_mangle)]
extern "C" fn cudnnGetErrorString(status: Status) -> *const c_char {
    status.name().as_ptr()
}

/// # Safety
/// Pointers are what `cudnn_graph.h` says, here as of all functions below.
#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnGetLastErrorString(place: *mut c_char, room: usize) {
    // SAFETY: the caller's place.
    unsafe { last(place, room) }
}

/// Writes a result to the caller's place.
///
/// # Safety
/// The place is null or the caller's.
unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Failure> {
    if place.is_null() {
        return Err(Failure::new(Status::NULL_POINTER, "a place for the result is null"));
    }
    // SAFETY: the caller's place.
    unsafe { place.write(value) };
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnCreate(place: *mut usize) -> Status {
    let create = || {
        driver()?.context()?;
        let mut state = state();
        let name = state.name();
        // SAFETY: the caller's place.
        unsafe { put(place, name) }?;
        state.handles.insert(name, None);
        Ok(())
    };
    answer(create())
}

#[unsafe(no_mangle)]
extern "C" fn cudnnDestroy(handle: usize) -> Status {
    let mut state = state();
    let destroyed = state.handle(handle).map(drop);
    state.handles.remove(&handle);
    answer(destroyed)
}

#[unsafe(no_mangle)]
extern "C" fn cudnnSetStream(handle: usize, stream: *mut c_void) -> Status {
    answer(state().handle(handle).map(|of| *of = Some(Stream(stream))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnBackendCreateDescriptor(kind: c_int, place: *mut usize) -> Status {
    let create = || {
        let kind = Kind::of(kind).ok_or_else(|| {
            Failure::new(Status::NOT_SUPPORTED, format!("descriptors of kind {kind}"))
        })?;
        let mut state = state();
        let name = state.name();
        // SAFETY: the caller's place.
        unsafe { put(place, name) }?;
        state.descriptors.insert(name, Descriptor::Building(kind, Attributes::new()));
        Ok(())
    };
    answer(create())
}

#[unsafe(no_mangle)]
extern "C" fn cudnnBackendDestroyDescriptor(descriptor: usize) -> Status {
    let mut state = state();
    let destroyed = state.descriptor(descriptor).map(drop);
    state.descriptors.remove(&descriptor);
    answer(destroyed)
}

#[unsafe(no_mangle)]
extern "C" fn cudnnBackendFinalize(descriptor: usize) -> Status {
    let finalize = || {
        let mut state = state();
        let descriptor = state.descriptor(descriptor)?;
        let Descriptor::Building(kind, attributes) = descriptor else {
            return Err(Failure::new(Status::BAD_PARAM, "it is finalized already"));
        };
        finalize::check(*kind, attributes)?;
        let (kind, attributes) = (*kind, std::mem::take(attributes));
        *descriptor = Descriptor::Finalized(Arc::new(Finalized { kind, attributes }));
        Ok(())
    };
    answer(finalize())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnBackendSetAttribute(
    descriptor: usize,
    attribute: c_int,
    attribute_type: c_int,
    count: i64,
    elements: *const c_void,
) -> Status {
    let set = || {
        let mut state = state();
        let kind = state.descriptor(descriptor)?.kind();
        let attribute_type = declared_as(kind, attribute, attribute_type, Access::Set)?;
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the caller's elements, of the type that the attribute has.
        let value = unsafe { memory::take(&mut state, attribute_type, count, elements) }?;
        let message = match state.descriptor(descriptor)? {
            Descriptor::Finalized(_) => "it is finalized already",
            Descriptor::Building(_, attributes) => match attributes.insert(attribute, value) {
                None => return Ok(()),
                Some(_) => "it is set already",
            },
        };
        Err(Failure::new(Status::BAD_PARAM, format!("{kind:?}, attribute {attribute}: {message}")))
    };
    answer(set())
}

/// The type of an attribute, which the caller must know too.
fn declared_as(
    kind: Kind,
    attribute: c_int,
    claimed: c_int,
    wanted: Access,
) -> Result<Type, Failure> {
    let refuse = |status, message: &str| {
        Err(Failure::new(status, format!("{kind:?}, attribute {attribute}: {message}")))
    };
    match declared(kind, attribute) {
        None => refuse(Status::NOT_SUPPORTED, "there is no such attribute"),
        Some((_, access)) if access != wanted => {
            refuse(Status::NOT_SUPPORTED, &format!("it is not for {wanted:?}"))
        }
        Some((declared, _)) if declared as c_int != claimed => {
            refuse(Status::ATTRIBUTE_TYPE, &format!("it is a {declared:?}, not of type {claimed}"))
        }
        Some((declared, _)) => Ok(declared),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnBackendGetAttribute(
    descriptor: usize,
    attribute: c_int,
    attribute_type: c_int,
    requested: i64,
    count: *mut i64,
    elements: *mut c_void,
) -> Status {
    let get = || {
        let mut state = state();
        let finalized = state.finalized(descriptor)?;
        declared_as(finalized.kind, attribute, attribute_type, Access::Get)?;
        if requested < 1 || elements.is_null() {
            return Err(Failure::new(Status::NULL_POINTER, "there is no room for elements"));
        }
        if attribute == name::PLAN_WORKSPACE {
            // SAFETY: the caller's places, of one number each at least.
            return unsafe {
                put(elements.cast(), WORKSPACE_BYTES as i64).and_then(|()| put(count, 1))
            };
        }
        // SAFETY: the caller's array of descriptors, of one at least.
        let into = unsafe { elements.cast::<usize>().read() };
        let ways = fill_config(&mut state, &finalized, into)?;
        // SAFETY: the caller's place.
        unsafe { put(count, ways) }
    };
    answer(get())
}

/// Has a configuration be the one way of computing a heuristic's graph, where it is asked for ways that
/// are quick; how many ways there are.
fn fill_config(state: &mut State, heuristic: &Finalized, into: usize) -> Result<i64, Failure> {
    let target = state.descriptor(into)?;
    if !matches!(target, Descriptor::Building(Kind::Config, _)) {
        let message = format!("results go to configurations, not to a {:?}", target.kind());
        return Err(Failure::new(Status::DESCRIPTOR_TYPE, message));
    }
    if heuristic.number(name::HEURISTIC_MODE)? != MODE_A {
        return Ok(0);
    }
    let graph = heuristic.descriptor(name::HEURISTIC_GRAPH, Kind::Graph)?.clone();
    let attributes = Attributes::from([(name::CONFIG_GRAPH, Value::Descriptors(vec![graph]))]);
    *target = Descriptor::Finalized(Arc::new(Finalized { kind: Kind::Config, attributes }));
    Ok(1)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cudnnBackendExecute(handle: usize, plan: usize, pack: usize) -> Status {
    let execute = || {
        let (stream, plan, pack) = {
            let mut state = state();
            (*state.handle(handle)?, state.finalized(plan)?, state.finalized(pack)?)
        };
        // SAFETY: the caller's pointers by value.
        unsafe { run(handle, stream, &plan, &pack) }
    };
    answer(execute())
}
