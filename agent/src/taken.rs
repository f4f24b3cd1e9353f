//! Whether a process takes connections from programs on its own host, as `/proc/PID/net/tcp` and `tcp6` tell it
//! (proc_net_tcp in the kernel's documentation).
//!
//! *Limits*: connections that are open, or ended within the last minute, which is as long as the kernel keeps them; in
//! the network namespace of the process.

/// The state of a socket that listens (`TCP_LISTEN`).
const LISTENS: &str = "0A";

/// One socket of a table.
struct Row<'a> {
    local: (&'a str, &'a str),
    remote: (&'a str, &'a str),
    state: &'a str,
    inode: &'a str,
}

/// Whether a process whose descriptors are these links has taken a connection that these tables tell of.
pub fn is_taken_from(tables: &[String], descriptors: &[String]) -> bool {
    let rows: Vec<Row<'_>> = tables.iter().flat_map(|table| table.lines()).filter_map(row).collect();
    let is_own = |inode: &str| descriptors.iter().any(|link| *link == format!("socket:[{inode}]"));
    let listens = |row: &&Row<'_>| row.state == LISTENS && is_own(row.inode);
    let ports: Vec<&str> = rows.iter().filter(listens).map(|row| row.local.1).collect();
    let mut connections = rows.iter().filter(|row| row.state != LISTENS);
    // Whichever end is still there shows the connection.
    connections.any(|row| is_of_host(row) && (ports.contains(&row.local.1) || ports.contains(&row.remote.1)))
}

fn row(line: &str) -> Option<Row<'_>> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, remote, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    Some(Row { local: local.split_once(':')?, remote: remote.split_once(':')?, state, inode })
}

/// Whether both ends are this host: addresses stand there as words of the machine, least significant byte first.
fn is_of_host(row: &Row<'_>) -> bool {
    let is_loopback = |address: &str| match address.len() {
        8 => address.ends_with("7F"),
        _ => {
            address == "00000000000000000000000001000000"
                || address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F")
        }
    };
    is_loopback(row.remote.0) || row.local.0 == row.remote.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn line(local: &str, remote: &str, state: &str, inode: u32) -> String {
        format!(
            "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
        )
    }

    #[test]
    fn who_listens_and_has_a_peer_here_takes_from_here() {
        let listens = line("0100007F:1F90", "00000000:0000", "0A", 7);
        let anywhere = line("00000000:1F90", "00000000:0000", "0A", 7);
        let listens6 =
            line(&format!("{}:1F90", "0".repeat(32)), &format!("{}:0000", "0".repeat(32)), "0A", 7);
        let mapped = |last: &str| format!("0000000000000000FFFF0000{last}");
        let cases = [
            (listens.clone(), vec![], false),
            (listens.clone(), vec![line("0100007F:1F90", "0100007F:9C40", "01", 8)], true),
            // Ended: the socket belongs to nobody any more, and may be the other end's.
            (listens.clone(), vec![line("0100007F:9C40", "0100007F:1F90", "06", 0)], true),
            (listens.clone(), vec![line("0100007F:9C40", "0100007F:1F91", "01", 8)], false),
            (anywhere.clone(), vec![line("0A00020A:1F90", "0A00020A:9C40", "01", 8)], true),
            (anywhere.clone(), vec![line("0A00020A:1F90", "0B00020A:9C40", "01", 8)], false),
            (listens.replace(" 7 ", " 9 "), vec![line("0100007F:1F90", "0100007F:9C40", "01", 8)], false),
            (
                listens6.clone(),
                vec![line(
                    "00000000000000000000000001000000:1F90",
                    "00000000000000000000000001000000:9C40",
                    "01",
                    8,
                )],
                true,
            ),
            (
                listens6.clone(),
                vec![line(
                    &format!("{}:1F90", mapped("0100007F")),
                    &format!("{}:9C40", mapped("0100007F")),
                    "01",
                    8,
                )],
                true,
            ),
            (
                listens6,
                vec![line(
                    &format!("{}:1F90", mapped("0A00020A")),
                    &format!("{}:9C40", mapped("0B00020A")),
                    "01",
                    8,
                )],
                false,
            ),
        ];
        let descriptors = ["/dev/null", "socket:[7]", "socket:[8]"].map(str::to_owned);
        for (listening, connections, expected) in cases {
            let table = HEAD.to_owned() + &listening + &connections.concat();
            assert_eq!(is_taken_from(&[String::new(), table.clone()], &descriptors), expected, "{table}");
        }
        assert!(!is_taken_from(&["no table\n".to_owned()], &descriptors));
    }
}
