//! Programs for the tests that have a relative of OpenSSL linked in: AWS-LC, and the only LibreSSL that a package
//! registry has, of 2015.
//!
//! The crate for AWS-LC builds half of it: of its TLS it has the sources alone. So has the crate for LibreSSL, of all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::shell;

/// What AWS-LC's crate puts before the names of the half that it builds, but for its version.
const PREFIX: &str = "aws_lc_";
/// Its own tools, of which only a checkout has the right versions, are not asked to make LibreSSL's makefiles anew.
const AS_SHIPPED: [&str; 4] = ["ACLOCAL=:", "AUTOMAKE=:", "AUTOCONF=:", "AUTOHEADER=:"];

/// Where the programs are: `aws_lc` and `libressl`.
pub fn folder() -> PathBuf {
    shell::target_folder().join("relatives/programs")
}

/// Builds what is not built yet.
///
/// # Errors
/// When the sources cannot be fetched, or a build fails.
pub fn programs() -> Result<()> {
    let source = shell::root().join("tests/programs/openssl_client.c");
    let is_there = |name: &str| shell::is_newer(&folder().join(name), &source);
    if is_there("aws_lc") && is_there("libressl") {
        return Ok(());
    }
    fs::create_dir_all(folder()).with_context(|| format!("making {}", folder().display()))?;
    aws_lc(&source)?;
    libressl(&source)
}

fn aws_lc(source: &Path) -> Result<()> {
    let sources = sources_of("aws-lc-sys")?;
    let built = built()?;
    let (library, version) = crypto_library(&built)?;
    let objects = shell::target_folder().join("relatives/aws_lc");
    fs::create_dir_all(&objects).with_context(|| format!("making {}", objects.display()))?;
    let includes = ["generated-include", "aws-lc/include", "aws-lc"].map(|it| sources.join(it));
    let with_includes = |program: &str| {
        let mut command = Command::new(program);
        command.args(["-O2", "-w"]).arg(format!("-DBORINGSSL_PREFIX={PREFIX}{version}"));
        for folder in &includes {
            command.arg("-I").arg(folder);
        }
        command
    };
    let compile = |file: &PathBuf| {
        let object = objects.join(file.file_name().unwrap_or_default()).with_extension("o");
        let mut command = with_includes("g++");
        command.args(["-std=c++17", "-DBORINGSSL_IMPLEMENTATION", "-c", "-o"]).arg(&object).arg(file);
        shell::run(&mut command).map(|()| object)
    };
    let objects = side_by_side(&tls_sources(&sources.join("aws-lc/ssl"))?, compile)?;
    let mut command = with_includes("cc");
    command.arg("-o").arg(folder().join("aws_lc")).arg(source).args(objects).arg(library).arg("-lstdc++");
    shell::run(&mut command)
}

/// The files that AWS-LC's TLS is made of, without its tests.
fn tls_sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let file = entry?.path();
        let is_test = file.file_stem().is_some_and(|it| it.to_string_lossy().contains("_test"));
        if file.extension().is_some_and(|it| it == "cc") && !is_test {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Does it for all, two at a time.
fn side_by_side<T: Sync, R: Send>(all: &[T], act: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let half = |all: &[T]| all.iter().map(&act).collect::<Result<Vec<R>>>();
    let (first, second) = all.split_at(all.len() / 2);
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| half(second));
        (half(first), second.join())
    });
    let mut done = first?;
    done.extend(second.map_err(|_| anyhow::anyhow!("a compiler's thread panicked"))??);
    Ok(done)
}

/// The half of AWS-LC that its crate builds, and its version as its names have it.
fn crypto_library(built: &Path) -> Result<(PathBuf, String)> {
    for entry in fs::read_dir(built).with_context(|| format!("reading {}", built.display()))? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let version = name.strip_prefix("libaws_lc_").and_then(|it| it.strip_suffix("_crypto.a"));
        if let Some(version) = version {
            return Ok((file, version.to_owned()));
        }
    }
    anyhow::bail!("{}: AWS-LC's crate has built no library", built.display())
}

fn libressl(source: &Path) -> Result<()> {
    let sources = sources_of("libressl-pnacl-sys")?.join("libressl");
    let folder_of_build = shell::target_folder().join("relatives/libressl");
    let _none_yet = fs::remove_dir_all(&folder_of_build);
    shell::run(Command::new("cp").arg("-r").args([&sources, &folder_of_build]))?;
    let in_folder = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(&folder_of_build);
        command
    };
    let configuration = ["--quiet", "--disable-shared", "--disable-dependency-tracking", "CFLAGS=-O2 -w"];
    shell::run(in_folder("sh").arg("configure").args(configuration))?;
    for part in ["crypto", "ssl"] {
        shell::run(in_folder("make").args(["--silent", "-j2", "-C", part]).args(AS_SHIPPED))?;
    }
    let built = |name: &str| folder_of_build.join(name);
    let mut command = Command::new("cc");
    command.args(["-O2", "-w", "-I"]).arg(built("include")).arg("-o").arg(folder().join("libressl"));
    command.arg(source).args([built("ssl/.libs/libssl.a"), built("crypto/.libs/libcrypto.a")]);
    shell::run(&mut command)
}

/// A cargo command for the package that names the sources.
fn cargo(arguments: &str) -> Command {
    let mut cargo = shell::cargo(arguments);
    cargo.arg("--manifest-path").arg(shell::root().join("tests/programs/relatives/Cargo.toml"));
    cargo
}

/// Where the sources of a package are.
fn sources_of(package: &str) -> Result<PathBuf> {
    let mut cargo = cargo("metadata --locked --format-version 1");
    shell::announce(&cargo);
    let output = cargo.stderr(Stdio::inherit()).output().context("starting cargo")?;
    ensure!(output.status.success(), "cargo failed ({})", output.status);
    let told: Value = serde_json::from_slice(&output.stdout).context("reading what cargo says")?;
    let packages = told["packages"].as_array().into_iter().flatten();
    let manifest = packages.filter(|it| it["name"] == package).find_map(|it| it["manifest_path"].as_str());
    let manifest = manifest.with_context(|| format!("cargo does not know where {package} is"))?;
    Ok(Path::new(manifest).parent().unwrap_or(Path::new("/")).to_owned())
}

/// Builds the half of AWS-LC that its crate builds; where.
fn built() -> Result<PathBuf> {
    let mut cargo = cargo("build --locked");
    cargo.arg("--target-dir").arg(shell::target_folder().join("relatives/cargo"));
    let told = shell::messages(&mut cargo)?;
    let scripts = told.iter().filter(|it| it["reason"] == "build-script-executed");
    let of_it = |it: &&Value| it["package_id"].as_str().is_some_and(|id| id.contains("aws-lc-sys"));
    let folder = scripts.filter(of_it).find_map(|it| it["out_dir"].as_str());
    folder.map(PathBuf::from).context("cargo does not say where it built aws-lc-sys")
}
