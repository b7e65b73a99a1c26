//! Tables of C functions that are found by name when a library is opened.

/// Declares a structure of function pointers, named as in NVIDIA's headers, and how it is filled:
/// `load` asks `symbol` for every name and answers with all that are missing, if any is.
macro_rules! function_table {
    ($(#[$attribute:meta])* $table:ident {
        $(fn $function:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty;)*
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy)]
        // Fields bear the C functions' own names, by which they are found in NVIDIA's manuals.
        #[allow(non_snake_case)]
        pub(crate) struct $table {
            $(pub $function: unsafe extern "C" fn($($argument: $type),*) -> $result,)*
        }

        impl $table {
            /// Fills the table.
            ///
            /// # Safety
            ///
            /// What `symbol` gives for a name is a function of that name's signature, and stays.
            #[allow(non_snake_case)] // As above.
            pub unsafe fn load(symbol: $crate::table::Symbols) -> Result<Self, Vec<&'static str>> {
                let mut missing = Vec::new();
                $(
                    let $function = symbol(const { $crate::table::c_name(
                        concat!(stringify!($function), "\0"),
                    ) });
                    if $function.is_none() {
                        missing.push(stringify!($function));
                    }
                )*
                if let ($(Some($function),)*) = ($($function,)*) {
                    return Ok(Self {
                        $(
                            // SAFETY: the caller vouches for the signature; a function pointer is
                            // as large as any pointer.
                            $function: unsafe {
                                std::mem::transmute::<
                                    *const std::ffi::c_void,
                                    unsafe extern "C" fn($($type),*) -> $result,
                                >($function)
                            },
                        )*
                    });
                }
                Err(missing)
            }
        }
    };
}
pub(crate) use function_table;

use std::ffi::{CStr, c_void};

/// Gives the address of what a library exports by a name; `None` where it exports nothing so named.
pub type Symbols<'a> = &'a dyn Fn(&CStr) -> Option<*const c_void>;

/// A name that ends in its only zero byte, as C wants it.
pub(crate) const fn c_name(name: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("evaluated while compiling: a name ends in its only zero byte"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    function_table! { Table {
        fn there(value: i32) -> i32;
        fn absent() -> i32;
        fn absent_too() -> i32;
    } }

    extern "C" fn twice(value: i32) -> i32 {
        2 * value
    }

    extern "C" fn three() -> i32 {
        3
    }

    #[test]
    fn a_table_is_filled_by_name() {
        let symbols = |name: &CStr| {
            Some(match name.to_bytes() {
                b"there" => twice as *const c_void,
                _ => three as *const c_void,
            })
        };
        // SAFETY: the functions have those signatures.
        let table = unsafe { Table::load(&symbols) }.unwrap();
        // SAFETY: as above.
        let results = unsafe { ((table.there)(4), (table.absent)(), (table.absent_too)()) };
        assert_eq!(results, (8, 3, 3));
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let symbols = |name: &CStr| (name == c"there").then_some(twice as *const c_void);
        // SAFETY: the one function has that signature.
        assert_eq!(unsafe { Table::load(&symbols) }.err().unwrap(), ["absent", "absent_too"]);
    }
}
