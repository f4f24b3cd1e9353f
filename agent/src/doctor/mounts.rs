//! Where cgroup v2 is mounted, out of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).

use std::path::PathBuf;

/// Why the wire tap has nowhere to stand.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoCgroup2 {
    /// No cgroup v2 mount, hybrid or unified.
    #[error("no cgroup v2 in /proc/self/mountinfo, neither unified nor hybrid")]
    NotMounted,
    /// The mount shows a part of the tree: traffic from outside it would not be seen.
    #[error("the cgroup v2 mount at {at} shows only {shown}, not the root", at = at.display())]
    NotRoot {
        /// Mount point.
        at: PathBuf,
        /// The part of the tree that is mounted.
        shown: String,
    },
}

impl NoCgroup2 {
    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::NotMounted => {
                "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
            }
            Self::NotRoot { .. } => "run the agent on the host itself, or in its cgroup namespace",
        }
    }
}

/// A line of mountinfo, as far as it is needed.
struct Mount {
    shown: String,
    at: PathBuf,
    kind: String,
}

/// Mount point of the root of cgroup v2: the unified tree, or the one beside v1 on a hybrid host.
///
/// # Errors
/// There is none, or only a part of the tree is mounted.
pub fn find_cgroup2(mountinfo: &str) -> Result<PathBuf, NoCgroup2> {
    let all: Vec<Mount> = mounts(mountinfo).filter(|mount| mount.kind == "cgroup2").collect();
    let usual = |mount: &&Mount| {
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].iter().any(|path| mount.at.as_os_str() == *path)
    };
    let roots = || all.iter().filter(|mount| mount.shown == "/");
    match (roots().find(usual).or_else(|| roots().next()), all.first()) {
        (Some(root), _) => Ok(root.at.clone()),
        (None, Some(part)) => Err(NoCgroup2::NotRoot { at: part.at.clone(), shown: part.shown.clone() }),
        (None, None) => Err(NoCgroup2::NotMounted),
    }
}

fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount> + '_ {
    mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (shown, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
        let kind = after.split(' ').next()?.to_owned();
        Some(Mount { shown, at: at.into(), kind })
    })
}

/// Undoes the octal escapes of space, tab, line feed and backslash.
fn unescaped(field: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.into_iter().fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "\
24 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 24 0:12 / /sys/fs/bpf rw,nosuid shared:15 - bpf bpf rw
";
    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const V1_ONLY: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
";
    const PART: &str = "30 24 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    const ELSEWHERE: &str = "\
50 24 0:26 /part /mnt/part rw - cgroup2 none rw
51 24 0:26 / /mnt/cgroup\\040two rw shared:1 master:2 - cgroup2 none rw
";

    #[test]
    fn cgroup2_mounts() {
        let part = NoCgroup2::NotRoot { at: "/sys/fs/cgroup".into(), shown: "/docker/ab".into() };
        let cases = [
            (UNIFIED, Ok("/sys/fs/cgroup")),
            (HYBRID, Ok("/sys/fs/cgroup/unified")),
            (V1_ONLY, Err(NoCgroup2::NotMounted)),
            (PART, Err(part)),
            (ELSEWHERE, Ok("/mnt/cgroup two")),
            ("", Err(NoCgroup2::NotMounted)),
            ("cgroup2 - cgroup2\n\n - \nx", Err(NoCgroup2::NotMounted)),
        ];
        for (mountinfo, expected) in cases {
            assert_eq!(find_cgroup2(mountinfo), expected.map(PathBuf::from), "{mountinfo}");
        }
    }
}
