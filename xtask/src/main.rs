//! `cargo xtask NAME`: what cargo alone cannot do. One file for each command; this one only names them.
#![forbid(unsafe_code)]

mod bench;
mod build;
mod ci;
mod deb;
mod demo;
mod fuzz;
mod go;
mod memcheck;
mod python;
mod refusal;
mod relatives;
mod setup;
mod shell;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What cargo alone cannot do.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what building, demo and tests need, as root; quick when all is there.
    Setup,
    /// Builds the agent, kernel programs included, for release.
    Build,
    /// Shows the agent finding known leaks of real programs in a private lab network. Needs root.
    Demo(demo::Arguments),
    /// Sets up, then runs all tests that this machine can run.
    Test,
    /// Checks the house style.
    Tidy,
    /// The tests and every gate, as the build server runs them. Needs root.
    Ci,
    /// Measures: `bench probe [--check]`, what the agent costs a program; `bench discovery [--check]`, what looking at
    /// processes costs it; `bench spool [--check]`, leaks per second; `bench matcher [--check]`, the matcher against
    /// other engines.
    Bench(bench::Arguments),
    /// Runs the live tests on other kernels, in QEMU: `vm [KERNEL...] [-- FILTER...]`, `vm 6.1 --shell`.
    Vm(vm::Arguments),
    /// Debian packages of agent and collector: `deb [--check]`, and a signed apt repository: `deb --repo DIR --key KEY`.
    Deb(deb::Arguments),
    /// Drives the parsers with libFuzzer: `fuzz [NAME] [--for SECONDS]`. Needs a C++ compiler.
    Fuzz(fuzz::Arguments),
    /// Watches what the matcher reads, and runs it on other processors: `memcheck [miri|address|valgrind|neon|avx512]`,
    /// all that are installed when left out.
    Memcheck(memcheck::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup => setup::run(),
        Command::Build => build::run(),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test => test::run(),
        Command::Tidy => tidy::run(),
        Command::Ci => ci::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Memcheck(arguments) => memcheck::run(&arguments),
        Command::Vm(arguments) => vm::run(&arguments),
        Command::Deb(arguments) => deb::run(&arguments),
    };
    refusal::exit_code(result)
}
