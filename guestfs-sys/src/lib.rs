//! Hand-declared prototypes of libguestfs, loaded at run time.
