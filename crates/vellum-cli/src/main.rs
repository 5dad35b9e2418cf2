//! The command `vellum`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    vellum_cli::main()
}
