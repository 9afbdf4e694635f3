//! The `imgforge` program: a shim around [`imgforge::cli`].

fn main() -> std::process::ExitCode {
    imgforge::cli::main()
}
