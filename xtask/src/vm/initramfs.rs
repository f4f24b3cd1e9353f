//! What a guest's kernel starts from: a static busybox, our first process, and the modules that tests need.
//!
//! The root image belongs to no kernel and has no modules: all are loaded here, before it is mounted.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cprvagt_tests::live;

use super::cache::{Cache, Recipe};
use super::kernels::Kernel;

const INIT: &str = include_str!("../../vm/init");
const UNIT: &str = include_str!("../../vm/vm.service");

/// Modules by what they are for. One that a kernel has built in, or has not, is left out.
const MODULES: [&str; 32] = [
    // The virtual machine's own devices.
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    // The root.
    "crc32c_generic",
    "libcrc32c",
    "erofs",
    "overlay",
    // Links and queues of the lab.
    "veth",
    "dummy",
    "tun",
    "sch_ingress",
    "sch_netem",
    "cls_bpf",
    // Packet filters of the lab.
    "nf_conntrack",
    "nf_tables",
    "nft_counter",
    "nft_ct",
    "nft_limit",
    "nft_log",
    "nft_numgen",
    "nft_chain_nat",
    "nft_nat",
    "nft_redir",
    "nft_reject_inet",
    // TLS in the kernel, and the cipher that it is used with.
    "ctr",
    "ghash_generic",
    "gcm",
    "tls",
    // What systemd asks for.
    "autofs4",
    "binfmt_misc",
];

/// Builds it for that kernel, or takes the one that is there.
///
/// # Errors
/// When a module cannot be read or a program fails.
pub fn build(cache: &Cache, kernel: &Kernel) -> Result<PathBuf> {
    let busybox = live::which("busybox").context("vm: busybox is not installed")?;
    let busybox = fs::read(&busybox).with_context(|| format!("reading {}", busybox.display()))?;
    let recipe = MODULES.iter().fold(Recipe::default(), |recipe, module| recipe.with(module));
    let recipe = recipe.with(INIT).with(UNIT).with(&busybox);
    let recipe = recipe.with(&kernel.package.name).with(&kernel.package.version);
    let item = cache.item("initramfs", recipe, |place| {
        let root = tempfile::tempdir().context("making a folder for the initramfs")?;
        fill(root.path(), &busybox)?;
        add_modules(root.path(), kernel)?;
        pack(root.path(), &place.join("initramfs"))
    })?;
    Ok(item.join("initramfs"))
}

fn fill(root: &Path, busybox: &[u8]) -> Result<()> {
    for folder in ["bin", "modules", "proc", "sys", "dev", "image", "changes", "new"] {
        fs::create_dir(root.join(folder))?;
    }
    write(&root.join("bin/busybox"), busybox, 0o755)?;
    write(&root.join("init"), INIT.as_bytes(), 0o755)?;
    write(&root.join("vm.service"), UNIT.as_bytes(), 0o644)
}

fn write(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    fs::write(file, content)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("writing {}", file.display()))
}

/// Copies modules, not compressed, and writes the list of them in the order in which they must be loaded.
fn add_modules(root: &Path, kernel: &Kernel) -> Result<()> {
    let mut listed = BTreeSet::new();
    let mut list = String::new();
    for module in MODULES {
        for (file, parameters) in with_dependencies(kernel, module)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.trim_end_matches(".xz").trim_end_matches(".zst").to_owned();
            if listed.insert(name.clone()) {
                write(&root.join("modules").join(&name), &decompressed(&file)?, 0o644)?;
                list.push_str(format!("{name} {parameters}").trim_end());
                list.push('\n');
            }
        }
    }
    write(&root.join("modules/list"), list.as_bytes(), 0o644)
}

/// The files that must be loaded for `module`, and with which parameters.
fn with_dependencies(kernel: &Kernel, module: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut modprobe = Command::new("modprobe");
    modprobe.arg("--dirname").arg(&kernel.folder).args(["--set-version", &kernel.package.release]);
    let output = modprobe.args(["--show-depends", module]).output().context("starting modprobe")?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(told.lines().filter_map(insmod).collect())
}

/// `insmod FILE PARAMETERS`; what is built in is told with another word.
fn insmod(line: &str) -> Option<(PathBuf, String)> {
    let mut words = line.strip_prefix("insmod ")?.split_whitespace();
    let file = PathBuf::from(words.next()?);
    Some((file, words.collect::<Vec<_>>().join(" ")))
}

fn decompressed(file: &Path) -> Result<Vec<u8>> {
    let program = match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => return fs::read(file).with_context(|| format!("reading {}", file.display())),
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{} is compressed in an unknown way", file.display()),
    };
    let output = Command::new(program).args(["-d", "-c"]).arg(file).output();
    let output = output.with_context(|| format!("starting {program}"))?;
    ensure!(output.status.success(), "{program} cannot read {}", file.display());
    Ok(output.stdout)
}

/// All files of the folder as the archive that kernels take, owned by root, sorted.
///
/// # Errors
/// When a program fails.
pub fn pack(root: &Path, archive: &Path) -> Result<()> {
    let packed = "find . | LC_ALL=C sort | cpio --create --format=newc --owner=0:0 --quiet";
    let file = fs::File::create(archive).with_context(|| format!("making {}", archive.display()))?;
    let mut sh = Command::new("sh");
    sh.args(["-c", packed]).current_dir(root).stdin(Stdio::null()).stdout(file);
    ensure!(sh.status().context("starting sh")?.success(), "packing the initramfs failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modprobe_tells_is_read() {
        let told = |line| insmod(line).map(|(file, parameters)| (file.display().to_string(), parameters));
        let dummy = Some(("/m/dummy.ko.xz".into(), "numdummies=0".into()));
        assert_eq!(told("insmod /m/dummy.ko.xz numdummies=0 "), dummy);
        assert_eq!(told("insmod /m/tls.ko "), Some(("/m/tls.ko".into(), String::new())));
        assert_eq!(told("builtin ext4"), None);
    }
}
