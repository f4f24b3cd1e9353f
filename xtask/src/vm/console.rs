//! A guest's console: the mark before which a boot may be repeated, and a kernel's complaints.

/// What `run` prints just before it starts.
pub const READY: &str = "VM-READY";

/// Lines of the tail that is shown of a console.
const TAIL_LINES: usize = 30;
/// Parts of lines by which a kernel tells that something in it went wrong.
const COMPLAINTS: [&str; 10] = [
    "BUG: ",
    "KASAN: ",
    "Kernel panic",
    "Oops: ",
    "UBSAN: ",
    "WARNING: ",
    "blocked for more than",
    "double fault",
    "general protection fault",
    "kernel BUG at",
];
/// A guest's processor waits for the host's: that is the host's load, not the guest's kernel.
const OF_THE_HOST: [&str; 1] = ["soft lockup"];

/// The kernel's lines that complain.
#[must_use]
pub fn complaints(console: &str) -> Vec<String> {
    let is_kernels = |line: &&str| line.trim_start().starts_with('[');
    let complains = |line: &&str| {
        COMPLAINTS.iter().any(|part| line.contains(part))
            && !OF_THE_HOST.iter().any(|part| line.contains(part))
    };
    let lines = console.lines().filter(is_kernels).filter(complains);
    lines.map(|line| line.trim().to_owned()).collect()
}

/// Its last lines.
#[must_use]
pub fn tail(console: &str) -> String {
    let lines: Vec<&str> = console.lines().map(str::trim_end).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_the_kernels() {
        for (line, complains) in [
            ("[    7.123456] WARNING: CPU: 1 PID: 33 at net/core/dev.c:1 f+0x1/0x2\r", true),
            ("[    7.123456] BUG: unable to handle page fault for address: ffff", true),
            ("[    7.123456] Kernel panic - not syncing: Attempted to kill init!", true),
            ("[  124.303244] INFO: task python3:211 blocked for more than 61 seconds.", true),
            ("[    7.123456] general protection fault, probably for non-canonical address", true),
            ("[   45.123456] watchdog: BUG: soft lockup - CPU#0 stuck for 22s!", false),
            ("[    7.123456] virtio_blk virtio1: 2/0/0 default/read/poll queues", false),
            ("WARNING: a program says so", false),
        ] {
            assert_eq!(complaints(line).len(), usize::from(complains), "{line}");
        }
    }

    #[test]
    fn the_tail_is_short() {
        assert_eq!(tail("a\r\nb"), "a\nb");
        assert_eq!(tail(&"line\n".repeat(100)).lines().count(), TAIL_LINES);
    }
}
