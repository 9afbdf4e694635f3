//! The macros behind the declarations: one gives the Rust type, the symbol that is resolved, and the C text
//! that the test compiles.

/// Declares types of which only pointers are used.
macro_rules! handles {
    ($($(#[doc = $doc:literal])* $name:ident, $pointer:ident;)*) => {$(
        $(#[doc = $doc])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name { _opaque: [u8; 0] }

        $(#[doc = $doc])*
        pub type $pointer = *mut $name;
    )*};
}

/// Declares structs, which are plain numbers.
macro_rules! structs {
    ($($(#[doc = $doc:literal])* $name:ident, $pointer:ident { $($field:ident: $type:ident,)* })*) => {
        $(
            $(#[doc = $doc])*
            #[repr(C)]
            #[derive(Debug, Default)]
            #[allow(missing_docs, reason = "libvirt's reference documents the fields")]
            pub struct $name { $(pub $field: $type,)* }

            $(#[doc = $doc])*
            pub type $pointer = *mut $name;
        )*

        /// Assertions about these structs, as C.
        fn layouts() -> String {
            let mut out = String::new();
            $(
                let name = stringify!($name);
                $(
                    let (field, of) = (stringify!($field), stringify!($type));
                    let offset = std::mem::offset_of!($name, $field);
                    out += &format!(
                        "_Static_assert (offsetof ({name}, {field}) == {offset}, \"offset of {name}.{field}\");\n\
                         _Static_assert (__builtin_types_compatible_p (__typeof__ ((({name} *) 0)->{field}), {of}), \"type of {name}.{field}\");\n"
                    );
                )*
                let size = std::mem::size_of::<$name>();
                out += &format!("_Static_assert (sizeof ({name}) == {size}, \"size of {name}\");\n");
            )*
            out
        }
    };
}

/// Declares members of libvirt's enumerations.
macro_rules! constants {
    ($($name:ident = $value:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`")]
            pub const $name: u32 = $value;
        )*

        /// Assertions about these constants, as C.
        fn values() -> String {
            [$((stringify!($name), $name),)*]
                .iter()
                .map(|(name, value)| format!("_Static_assert ({name} == {value}, \"value of {name}\");\n"))
                .collect()
        }
    };
}

/// Declares the functions.
macro_rules! functions {
    ($($name:ident($($argument:ident),*) -> $result:ident;)*) => {
        /// The functions of libvirt, which <https://libvirt.org/html/> documents.
        #[derive(Debug)]
        pub struct Library {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub $name: unsafe extern "C" fn($($argument),*) -> $result,
            )*
            // Last, so that they outlive the pointers into them.
            _objects: [libloading::Library; 2],
        }

        impl Library {
            /// Opens shared objects, and resolves every function in one of them.
            ///
            /// # Errors
            /// When one is missing, or none has a function, which is named.
            #[allow(unsafe_code, reason = "loading is unsafe by nature")]
            pub fn open([first, second]: [&str; 2]) -> Result<Self, LoadError> {
                let open = |name: &str| {
                    // SAFETY: libvirt's constructors read no state of ours.
                    unsafe { libloading::Library::new(name) }
                        .map_err(|cause| LoadError::Missing {
                            name: name.to_owned(),
                            reason: std::error::Error::source(&cause).unwrap_or(&cause).to_string(),
                        })
                };
                let objects = [open(first)?, open(second)?];
                Ok(Library {
                    $($name: {
                        let symbol = stringify!($name);
                        // SAFETY: the field's type is the function's prototype, which a test compares
                        // with libvirt's headers; the objects are kept beside it.
                        let found = objects.iter().find_map(|object| unsafe { object.get(symbol) }.ok());
                        *found.ok_or(LoadError::Symbol { symbol })?
                    },)*
                    _objects: objects,
                })
            }
        }

        /// Each function's prototype, as a C assertion.
        fn prototypes() -> String {
            let all: &[(&str, &str, &[&str])] =
                &[$((stringify!($name), stringify!($result), &[$(stringify!($argument)),*]),)*];
            all.iter()
                .map(|(name, result, arguments)| {
                    let arguments = match arguments {
                        [] => "void".to_owned(),
                        some => some.join(", "),
                    };
                    format!(
                        "_Static_assert (__builtin_types_compatible_p (__typeof__ ({name}), {result} ({arguments})), \"prototype of {name}\");\n"
                    )
                })
                .collect()
        }
    };
}
