//! Arrays of attributes, as callers hand them over.

use crate::attribute::{Type, Value};
use crate::state::State;
use crate::status::{Failure, Status};
use std::ffi::{c_int, c_void};

/// Takes the elements of an attribute.
///
/// # Safety
/// `elements` are as many of that type.
pub unsafe fn take(
    state: &mut State,
    attribute_type: Type,
    count: usize,
    elements: *const c_void,
) -> Result<Value, Failure> {
    if elements.is_null() {
        return Err(Failure::new(Status::NULL_POINTER, "the elements are null"));
    }
    // SAFETY: the caller's elements, here and below.
    let addresses = || unsafe { std::slice::from_raw_parts(elements.cast::<usize>(), count) };
    Ok(match attribute_type {
        Type::Int64 => {
            // SAFETY: as above.
            let numbers = unsafe { std::slice::from_raw_parts(elements.cast::<i64>(), count) };
            Value::Numbers(numbers.to_vec())
        }
        Type::Format | Type::HeuristicMode => {
            // SAFETY: as above.
            let numbers = unsafe { std::slice::from_raw_parts(elements.cast::<c_int>(), count) };
            Value::Numbers(numbers.iter().map(|number| i64::from(*number)).collect())
        }
        Type::Boolean => {
            // SAFETY: as above.
            let flags = unsafe { std::slice::from_raw_parts(elements.cast::<u8>(), count) };
            Value::Numbers(flags.iter().map(|flag| i64::from(*flag)).collect())
        }
        Type::Pointer => Value::Addresses(addresses().to_vec()),
        Type::Handle => {
            for name in addresses() {
                state.handle(*name)?;
            }
            Value::Addresses(addresses().to_vec())
        }
        Type::Descriptor => {
            let found = addresses().iter().map(|name| state.finalized(*name));
            Value::Descriptors(found.collect::<Result<_, _>>()?)
        }
    })
}
