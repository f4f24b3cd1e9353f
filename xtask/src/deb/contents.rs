//! What a package has beside program, configuration and units: manual, completions, changelog, and two lists of what
//! is inside, one for people (copyright) and one for programs (CycloneDX).

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Package;
use super::version::Version;
use crate::shell;

const LICENCES: &str = "about generate --locked --offline --fail --config packaging/about.toml";
const BOM: &str =
    "cyclonedx --quiet --format json --describe crate --no-build-deps --target x86_64-unknown-linux-gnu";
/// cargo-cyclonedx writes beside a manifest and nowhere else; its file is moved from there.
const BOM_NAME: &str = "cprvagt-package-sbom";

/// Writes all of it to `release/package/NAME`, where the manifest has it from.
///
/// # Errors
/// When a program is missing or fails.
pub fn write(package: &Package, version: &Version, release: &Path, maintainer: Option<&str>) -> Result<()> {
    let folder = release.join("package").join(package.name);
    let _not_there_yet = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    manual(&release.join(package.program), &folder)?;
    copyright(package, &folder)?;
    boms(package, version, &folder)?;
    changelog(package, version, &folder, maintainer)
}

/// The program writes its own; man pages are then packed and put apart.
fn manual(program: &Path, folder: &Path) -> Result<()> {
    shell::run(Command::new(program).arg("manual").arg(folder))?;
    fs::create_dir(folder.join("man"))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "1") {
            let name = path.file_name().and_then(|name| name.to_str()).context("a page has a name")?;
            gzip(&path, &folder.join("man").join(format!("{name}.gz")))?;
        }
    }
    Ok(())
}

/// What the project says, then each licence with the crates that are under it.
fn copyright(package: &Package, folder: &Path) -> Result<()> {
    let own = shell::root().join("packaging").join(package.folder).join("copyright");
    let mut text = fs::read_to_string(&own).with_context(|| format!("reading {}", own.display()))?;
    for part in package.made_of {
        let list = folder.join("licences");
        let mut cargo = shell::cargo(LICENCES);
        cargo.arg("--manifest-path").arg(format!("{part}/Cargo.toml")).arg("packaging/about.hbs");
        shell::run(cargo.arg("--output-file").arg(&list)).context("listing licences")?;
        text.push_str(&fs::read_to_string(&list)?);
        fs::remove_file(&list)?;
    }
    fs::write(folder.join("copyright"), text)?;
    Ok(())
}

/// The lists for programs, without the folders of this machine.
fn boms(package: &Package, version: &Version, folder: &Path) -> Result<()> {
    let mut cargo = shell::cargo(BOM);
    shell::run(version.date(cargo.args(["--override-filename", BOM_NAME]))).context("listing crates")?;
    for part in package.made_of {
        let made = shell::root().join(part).join(format!("{BOM_NAME}.json"));
        let text = fs::read_to_string(&made).with_context(|| format!("reading {}", made.display()))?;
        let text = text.replace(&shell::root().display().to_string(), "/usr/src/cprvagt");
        let list: Value = serde_json::from_str(&text).context("reading the list of crates")?;
        ensure!(list["components"].as_array().is_some_and(|crates| !crates.is_empty()), "no crate is listed");
        fs::write(folder.join(format!("sbom-{part}.cdx.json")), text)?;
    }
    members()?.iter().try_for_each(|member| {
        let made = shell::root().join(member).join(format!("{BOM_NAME}.json"));
        fs::remove_file(&made).with_context(|| format!("removing {}", made.display()))
    })
}

/// The folders of the workspace's crates.
fn members() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(shell::root().join("Cargo.toml"))?.parse()?;
    let members = manifest["workspace"]["members"].as_array().context("the workspace has members")?;
    Ok(members.iter().filter_map(|member| member.as_str().map(str::to_owned)).collect())
}

/// dpkg's changelog (deb-changelog(5)); what users notice is in CHANGELOG.md, which is packed as well.
fn changelog(package: &Package, version: &Version, folder: &Path, maintainer: Option<&str>) -> Result<()> {
    let maintainer = match maintainer {
        Some(maintainer) => maintainer.to_owned(),
        None => maintainer_of(package)?,
    };
    let name = package.name;
    let text = format!(
        "{name} ({version}) unstable; urgency=medium\n\n  * See /usr/share/doc/{name}/changelog.gz.\n\n \
         -- {maintainer}  {}\n",
        version.committed
    );
    let plain = folder.join("changelog.Debian");
    fs::write(&plain, text)?;
    gzip(&plain, &folder.join("changelog.Debian.gz"))
}

/// As Debian packs documents: without name and time of the file.
fn gzip(plain: &Path, packed: &Path) -> Result<()> {
    let packed = File::create(packed)?;
    let mut gzip = Command::new("gzip");
    gzip.args(["-9", "--no-name", "--stdout"]).arg(plain).stdout(Stdio::from(packed));
    ensure!(gzip.status().context("starting gzip")?.success(), "gzip failed");
    Ok(())
}

fn maintainer_of(package: &Package) -> Result<String> {
    let manifest = fs::read_to_string(shell::root().join(package.folder).join("Cargo.toml"))?;
    let manifest: toml::Table = manifest.parse().context("reading a manifest")?;
    let maintainer = manifest["package"]["metadata"]["deb"]["maintainer"].as_str();
    Ok(maintainer.context("the manifest names a maintainer")?.to_owned())
}
