//! The declarations of this crate as C assertions.

use std::ffi::{c_char, c_void};

use crate::{ErrorHandler, EventCallback, Handle};

/// The C spelling of a type.
pub(crate) trait CType {
    fn c() -> String;
}

macro_rules! spelled {
    ($($type:ty = $c:literal,)*) => {
        $(impl CType for $type { fn c() -> String { $c.to_owned() } })*
    };
}

spelled! {
    c_char = "char",
    c_void = "void",
    i32 = "int",
    u32 = "unsigned int",
    i64 = "int64_t",
    u64 = "uint64_t",
    usize = "size_t",
    Handle = "guestfs_h",
    ErrorHandler = "guestfs_error_handler_cb",
    EventCallback = "guestfs_event_callback",
}

impl<T: CType> CType for *mut T {
    fn c() -> String {
        format!("{} *", T::c())
    }
}

impl<T: CType> CType for *const T {
    fn c() -> String {
        format!("{} const *", T::c())
    }
}

pub(crate) fn field(record: &str, name: &str, c: &str, offset: usize) -> String {
    format!(
        "_Static_assert (offsetof (struct {record}, {name}) == {offset}, \"offset of {record}.{name}\");\n\
         _Static_assert (__builtin_types_compatible_p (__typeof__ (((struct {record} *) 0)->{name}), {c}), \"type of {record}.{name}\");\n"
    )
}

pub(crate) fn size(record: &str, size: usize) -> String {
    format!("_Static_assert (sizeof (struct {record}) == {size}, \"size of {record}\");\n")
}

pub(crate) fn bit(function: &str, name: &str, bit: u32) -> String {
    let (function, name) = (function.to_uppercase(), name.to_uppercase());
    format!(
        "_Static_assert (GUESTFS_{function}_{name}_BITMASK == (UINT64_C (1) << {bit}), \"bit of {function} {name}\");\n"
    )
}

pub(crate) fn constant(name: &str, value: u64) -> String {
    format!("_Static_assert (GUESTFS_{name} == {value}, \"value of {name}\");\n")
}

/// What the Rust declarations claim, as C assertions: compiling them against the installed
/// `guestfs.h` fails at the first wrong prototype, struct, bit or constant.
pub fn declarations() -> String {
    let mut out = String::from("#include <stddef.h>\n#include <stdint.h>\n#include <guestfs.h>\n");
    for (name, prototype) in crate::table::prototypes() {
        out += &format!(
            "_Static_assert (__builtin_types_compatible_p (__typeof__ ({name}), {prototype}), \"prototype of {name}\");\n"
        );
    }
    // In C the callbacks are named types: assert what hides behind the names, too.
    let (handle, opaque) = (<*mut Handle>::c(), <*mut c_void>::c());
    let text = <*const c_char>::c();
    for (name, arguments) in [
        (ErrorHandler::c(), format!("{handle}, {opaque}, {text}")),
        (
            EventCallback::c(),
            format!(
                "{handle}, {opaque}, uint64_t, int, int, {text}, size_t, {}, size_t",
                <*const u64>::c()
            ),
        ),
    ] {
        out += &format!(
            "_Static_assert (__builtin_types_compatible_p ({name}, void (*) ({arguments})), \"{name}\");\n"
        );
    }
    out += &crate::table::struct_layouts();
    out += &crate::table::optional_argument_layouts();
    out += &crate::table::constant_values();
    out
}
