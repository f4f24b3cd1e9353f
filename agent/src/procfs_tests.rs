//! Recorded `/proc` entries.

use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A procfs with process 7 running `exe`, started `ticks` after boot.
pub fn procfs(exe: &str, ticks: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("stat"), "cpu 1 2\nbtime 1700000000\nprocesses 9\n").unwrap();
    run_program(&dir, exe, ticks);
    dir
}

pub fn run_program(dir: &tempfile::TempDir, exe: &str, ticks: u64) {
    let pid = dir.path().join("7");
    let _ = fs::remove_dir_all(&pid);
    fs::create_dir(&pid).unwrap();
    fs::write(pid.join("comm"), "a (b) c\n").unwrap();
    let before = "7 (a (b) c) S 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0";
    fs::write(pid.join("stat"), format!("{before} {ticks} 4096 1\n")).unwrap();
    fs::write(pid.join("status"), "Name:\ta\nUid:\t33\t0\t33\t33\n").unwrap();
    fs::write(pid.join("cgroup"), "0::/system.slice/nginx.service\n").unwrap();
    symlink(exe, pid.join("exe")).unwrap();
}

#[test]
fn everything_that_proc_tells() {
    let dir = procfs("/usr/sbin/nginx (deleted)", 150);
    let facts = Procfs::new(dir.path()).read(7);
    assert_eq!(facts.comm.as_deref(), Some("a (b) c"));
    assert_eq!(facts.exe.as_deref(), Some("/usr/sbin/nginx"));
    assert_eq!(facts.unit.as_deref(), Some("nginx.service"));
    assert_eq!((facts.uid, facts.user.as_deref()), (Some(0), Some("root")));
    assert_eq!(facts.started_at.unwrap().to_string(), "2023-11-14T22:13:21.500000000Z");
}

#[test]
fn units_and_containers() {
    let docker = format!("0::/system.slice/docker-{HEX}.scope\n");
    let kube = format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{HEX}.scope\n");
    let v1 = format!("5:devices:/docker/{HEX}\n1:name=systemd:/docker/{HEX}\n0::/\n");
    let docker_unit = format!("docker-{HEX}.scope");
    let kube_unit = format!("cri-containerd-{HEX}.scope");
    let cases = [
        ("0::/system.slice/nginx.service\n", Some("nginx.service"), None),
        ("0::/system.slice/nginx.service/worker\n", Some("nginx.service"), None),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.scope\n", Some("x.scope"), None),
        ("9:pids:/a.service\n1:name=systemd:/system.slice/b.service\n0::/\n", Some("b.service"), None),
        ("1:name=systemd:/b.service\n0::/system.slice/c.service\n", Some("c.service"), None),
        ("4:memory:/x.service\n", Some("x.service"), None),
        ("0::/\n", None, None),
        ("", None, None),
        ("garbage\n0::\n::\n", None, None),
        (&docker, Some(docker_unit.as_str()), Some(HEX)),
        (&kube, Some(kube_unit.as_str()), Some(HEX)),
        (&v1, None, Some(HEX)),
        ("0::/docker/0123abcd\n", None, None),
    ];
    for (cgroup, expected_unit, expected_container) in cases {
        assert_eq!(unit(cgroup).as_deref(), expected_unit, "{cgroup}");
        assert_eq!(container(cgroup).as_deref(), expected_container, "{cgroup}");
    }
}

#[test]
fn broken_entries_give_nothing() {
    for stat in ["", "7", "7 (x", "7 (x) S 1 2", "7 (x) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 x 1"] {
        assert_eq!(start_ticks(stat), None, "{stat}");
    }
    assert_eq!(effective_uid("Uid:\t33\n"), None);
    assert_eq!(boot_time("btime x\n"), None);
}

#[test]
fn a_part_of_a_file_that_a_process_has_open() {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, b"0123456789").unwrap();
    let of = |descriptor: i32, offset, len| {
        let descriptor = descriptor.cast_unsigned();
        Procfs::default().file_part(&FileRange { pid: std::process::id(), descriptor, offset, len })
    };
    let part = |bytes: &[u8], len| Some(FilePart { bytes: bytes.to_vec(), len });
    let open = file.as_raw_fd();
    assert_eq!(of(open, 0, 10), part(b"0123456789", 10));
    assert_eq!(of(open, 7, 2), part(b"78", 3));
    assert_eq!(of(open, 7, u64::MAX), part(b"789", 3));
    assert_eq!(of(open, 11, 1), part(b"", 0));
    assert_eq!(of(-1, 0, 1), None);
    // Nobody writes to it: opening it would not end.
    let (pipe, _other_end) = io::pipe().unwrap();
    assert_eq!(of(pipe.as_raw_fd(), 0, 1), None);
}
