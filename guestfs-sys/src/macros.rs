//! The macros behind the table: one declaration gives the Rust prototype, the symbol that is
//! resolved, and the C text that the test compiles.

/// Declares the functions; `function` is `guestfs_` plus the field's name.
macro_rules! functions {
    ($(
        $(#[variadic $dots:tt])?
        $name:ident($($argument:ty),*) $(-> $result:ty)?;
    )*) => {
        /// The functions of libguestfs. The field `launch` is `guestfs_launch`, and so on;
        /// guestfs(3) documents them.
        #[derive(Debug)]
        pub struct Library {
            $(
                #[doc = concat!("`guestfs_", stringify!($name), "`")]
                pub $name: unsafe extern "C" fn($($argument,)* $($dots)?) $(-> $result)?,
            )*
            // Last, so that it outlives the pointers into it.
            _library: libloading::Library,
        }

        impl Library {
            /// Opens the shared object `name` and resolves every function of the table.
            ///
            /// # Errors
            /// When it is missing or lacks a function, which is named.
            #[allow(unsafe_code, reason = "loading is unsafe by nature")]
            pub fn open(name: &str) -> Result<Self, $crate::LoadError> {
                let missing = |cause: libloading::Error| $crate::LoadError::Missing {
                    name: name.to_owned(),
                    reason: std::error::Error::source(&cause).unwrap_or(&cause).to_string(),
                };
                // SAFETY: libguestfs' constructors only allocate locks and read no state of ours.
                let library = unsafe { libloading::Library::new(name) }.map_err(missing)?;
                let absent = |symbol: &str| $crate::LoadError::Symbol {
                    name: name.to_owned(),
                    symbol: symbol.to_owned(),
                };
                Ok(Library {
                    $($name: {
                        let symbol = concat!("guestfs_", stringify!($name));
                        // SAFETY: the field's type is the function's prototype, which the test
                        // of the ABI compares with guestfs.h; the library is kept beside it.
                        *unsafe { library.get(symbol) }.map_err(|_| absent(symbol))?
                    },)*
                    _library: library,
                })
            }
        }

        /// Each function's name and its prototype as C.
        pub(crate) fn prototypes() -> Vec<(String, String)> {
            use $crate::abi::CType;
            vec![$({
                let arguments: Vec<String> = vec![
                    $(<$argument as CType>::c(),)*
                    $(stringify!($dots).to_owned(),)?
                ];
                let arguments = match arguments.is_empty() {
                    true => "void".to_owned(),
                    false => arguments.join(", "),
                };
                #[allow(unused_mut, unused_assignments, reason = "not every function has a result")]
                let mut result = "void".to_owned();
                $(result = <$result as CType>::c();)?
                (concat!("guestfs_", stringify!($name)).to_owned(), format!("{result} ({arguments})"))
            },)*]
        }
    };
}

/// Declares structs of libguestfs and what the test asserts about their layout.
macro_rules! structs {
    ($(
        $(#[doc = $doc:literal])*
        struct $name:ident = $c:literal { $($field:ident: $type:ty,)* }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[repr(C)]
            #[derive(Debug)]
            #[allow(missing_docs, reason = "guestfs(3) documents the fields")]
            pub struct $name { $(pub $field: $type,)* }

            impl $crate::abi::CType for $name {
                fn c() -> String { concat!("struct ", $c).to_owned() }
            }
        )*

        /// Assertions about these structs, as C.
        pub(crate) fn struct_layouts() -> String {
            use $crate::abi::{CType, field, size};
            let mut out = String::new();
            $(
                $(out += &field($c, stringify!($field), &<$type as CType>::c(), std::mem::offset_of!($name, $field));)*
                out += &size($c, std::mem::size_of::<$name>());
            )*
            out
        }
    };
}

/// Declares structs of optional arguments: `bitmask` says which of the fields libguestfs reads,
/// and each field's setter sets its bit, the field's position.
macro_rules! optional_arguments {
    ($(
        $(#[doc = $doc:literal])*
        struct $name:ident = $c:literal { $($field:ident: $type:ty = $bit:literal,)* }
    )*) => {
        $(
            $(#[doc = $doc])*
            #[repr(C)]
            #[derive(Debug)]
            pub struct $name { bitmask: u64, $($field: $type,)* }

            impl $name {
                /// No optional argument is given.
                #[allow(unsafe_code, reason = "a zeroed C struct")]
                pub fn new() -> Self {
                    // SAFETY: integers and raw pointers only, for which zero is a valid value.
                    unsafe { std::mem::zeroed() }
                }

                $(
                    #[doc = concat!("Gives `", stringify!($field), "`; a pointer must outlive the call.")]
                    #[must_use]
                    pub fn $field(mut self, value: $type) -> Self {
                        self.bitmask |= 1 << $bit;
                        self.$field = value;
                        self
                    }
                )*
            }

            impl Default for $name {
                fn default() -> Self { Self::new() }
            }

            impl $crate::abi::CType for $name {
                fn c() -> String { concat!("struct guestfs_", $c, "_argv").to_owned() }
            }
        )*

        /// Assertions about these structs and their bits, as C.
        pub(crate) fn optional_argument_layouts() -> String {
            use $crate::abi::{CType, bit, field, size};
            let mut out = String::new();
            $(
                let c = concat!("guestfs_", $c, "_argv");
                out += &field(c, "bitmask", &u64::c(), std::mem::offset_of!($name, bitmask));
                $(
                    out += &field(c, stringify!($field), &<$type as CType>::c(), std::mem::offset_of!($name, $field));
                    out += &bit($c, stringify!($field), $bit);
                )*
                out += &size(c, std::mem::size_of::<$name>());
            )*
            out
        }
    };
}

/// Declares constants that `guestfs.h` defines under the same name with `GUESTFS_` before it.
macro_rules! constants {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty = $value:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: $type = $value;)*

        /// Assertions about these constants, as C.
        pub(crate) fn constant_values() -> String {
            let mut out = String::new();
            $(out += &$crate::abi::constant(stringify!($name), u64::from($name));)*
            out
        }
    };
}
