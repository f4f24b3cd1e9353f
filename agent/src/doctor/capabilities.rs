//! The privileges of this process, out of `/proc/self/status` (capabilities(7)).

/// The needed capabilities, each with its number and whether CAP_SYS_ADMIN stands in for it.
pub(super) const NEEDED: [(&str, u32, bool); 6] = [
    // Opening a probe takes it on every kernel: none takes CAP_PERFMON for that any more.
    ("CAP_SYS_ADMIN", SYS_ADMIN, false),
    ("CAP_BPF", 39, true),
    ("CAP_PERFMON", 38, true),
    ("CAP_NET_ADMIN", 12, false),
    ("CAP_SYS_PTRACE", 19, false),
    ("CAP_DAC_READ_SEARCH", 2, false),
];

/// Number of CAP_SYS_ADMIN.
const SYS_ADMIN: u32 = 21;

/// The effective set; `None` when the text has none.
pub(super) fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// The needed capabilities that `effective` lacks.
pub(super) fn missing(effective: u64) -> Vec<&'static str> {
    let has = |number: u32| effective >> number & 1 == 1;
    let lacking =
        NEEDED.into_iter().filter(|(_, number, by_admin)| !(has(*number) || *by_admin && has(SYS_ADMIN)));
    lacking.map(|(name, ..)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing() {
        let all = NEEDED.map(|(name, ..)| name);
        let cases: [(&str, Option<&[&str]>); 8] = [
            ("Name:\tx\nCapEff:\t000001ffffffffff\n", Some(&[])),
            ("CapEff:\t0000000000000000\n", Some(&all)),
            // SYS_ADMIN, NET_ADMIN, SYS_PTRACE and DAC_READ_SEARCH are there.
            ("CapEff:\t0000000000281004\n", Some(&[])),
            ("CapEff:\t000000c000281004\n", Some(&[])),
            ("CapEff:\t000000c000081004\n", Some(&["CAP_SYS_ADMIN"])),
            ("CapEff:\t000000c000201000\n", Some(&["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"])),
            ("CapEff:\tzz\n", None),
            ("", None),
        ];
        for (status, expected) in cases {
            let found = effective(status).map(missing);
            assert_eq!(found.as_deref(), expected, "{status}");
        }
    }
}
