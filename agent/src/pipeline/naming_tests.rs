//! Names of destinations: whose word counts, and that nothing is judged before it is known.

use cprvagt_report::{Rule, Severity};

use super::*;

/// A configuration that allows these destinations, readable or not.
fn allowing(destinations: &[&str]) -> String {
    let entry = |to: &&str| {
        format!("[[allow]]\nto = \"{to}\"\nbecause = \"x\"\nwaives = [\"not-allowed\", \"cleartext\"]\n")
    };
    destinations.iter().map(entry).collect()
}

fn number(citizen: usize) -> String {
    let number = Citizens::new(7).nth(citizen).unwrap();
    String::from_utf8(number.digits().to_vec()).unwrap()
}

/// A request over TLS to `recipient.example` whose Host is `a.example`.
fn over_tls(world: &mut World) {
    let mut session = Session::new(3);
    let content = request("cpr", 0);
    for records in [session.begin(), session.write(&content), session.sent(&content)] {
        world.take_all(&records);
    }
    world.take(&session.end());
}

#[test]
fn connection_and_message_must_both_be_allowed() {
    let cases: [(&[&str], usize); 5] = [
        (&[], 1),
        (&["recipient.example"], 1),
        (&["a.example"], 1),
        (&["recipient.example", "a.example"], 0),
        (&["*.example.dk", "*.recipient.example", "*.a.example"], 1),
    ];
    for (allowed, leaks) in cases {
        let mut world = World::new(&allowing(allowed));
        over_tls(&mut world);
        assert_eq!(world.balanced().0.len(), leaks, "{allowed:?}");
    }
}

/// The number stands in the first line, the host in a packet that comes later.
#[test]
fn a_number_is_held_until_the_name_of_its_destination_is_known() {
    let (line, host) =
        (format!("GET /?cpr={} HTTP/1.1\r\nX: y\r\n", number(0)), "Host: A.Example:80\r\n\r\n");
    for (allowed, leaks) in [("a.example", 0), ("b.example", 1)] {
        let (mut world, mut flow) = (World::new(&allowing(&[allowed])), plain(9));
        world.take(&flow.opening());
        world.take(&payload(&mut flow, 100, line.as_bytes()));
        assert!(world.leaks.is_empty(), "its destination has no name yet");
        world.take(&payload(&mut flow, 100 + line.len() as u32, host.as_bytes()));
        world.take(&flow.end());
        assert_eq!(world.balanced().0.len(), leaks, "{allowed}");
    }
}

/// An answer to a question for A.
fn dns_answer(name: &str, address: [u8; 4]) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat());
    let name: Vec<u8> = labels.chain([0]).collect();
    let question = [&name[..], &[0, 1, 0, 1]].concat();
    let record = [&name[..], &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4], &address].concat();
    [&[0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0][..], &question, &record].concat()
}

/// Sends an answer from a port of this host, then a number to 203.0.113.9 that names no host.
fn after_answers(config: &str, local_port: u32, role: Role, names: &[&str]) -> Vec<Leak> {
    let mut world = World::new(config);
    let server =
        FlowSample { protocol: 17, role: role as u32, local_port, remote: [10, 0, 0, 2], ..plain(2) };
    world.take(&server.opening());
    for name in names {
        world.take(&sample::wire_data(&server, 0, (0, 0, 0), &dns_answer(name, [203, 0, 113, 9])));
    }
    let mut flow = plain(9);
    world.take(&flow.opening());
    let line = format!("cpr {} er sendt\n", number(0));
    world.take(&payload(&mut flow, 100, line.as_bytes()));
    world.take(&flow.end());
    world.close();
    world.leaks
}

#[test]
fn a_flow_that_says_nothing_has_the_names_of_dns_answers() {
    let config = allowing(&["db.example", "10.0.0.0/8"]);
    let server = |names: &[&str]| after_answers(&config, 53, Role::Server, names).len();
    assert_eq!(server(&[]), 1, "no name");
    assert_eq!(server(&["db.example"]), 0);
    assert_eq!(server(&["other.example"]), 1);
    assert_eq!(server(&["db.example", "other.example"]), 1, "a shared address");
    assert_eq!(after_answers(&config, 5353, Role::Server, &["db.example"]).len(), 1, "no name server");
    assert_eq!(after_answers(&config, 53, Role::Client, &["db.example"]).len(), 1, "nor this");
    let leaks = after_answers("", 53, Role::Server, &["x.google-analytics.com"]);
    let destination = leaks[0].destination.as_ref().unwrap();
    let names = [&destination.host, &destination.recipient].map(|name| name.as_ref().unwrap().as_str());
    assert_eq!(names, ["x.google-analytics.com", "Google LLC"]);
    assert_eq!((leaks[0].rule, leaks[0].severity), (Rule::NotAllowed, Severity::Critical));
}

/// Names with their sources, and whether they contradict each other.
fn told_names(leak: &Leak) -> (String, bool) {
    let destination = leak.destination.as_ref().unwrap();
    let names = destination.names.iter().map(|it| format!("{} {:?}", it.name.as_str(), it.source));
    (names.collect::<Vec<_>>().join(", "), destination.contradictory)
}

#[test]
fn each_name_is_told_with_who_says_so() {
    let mut world = World::new("");
    over_tls(&mut world);
    assert_eq!(told_names(&world.leaks[0]), ("recipient.example Sni, a.example Host".into(), true));
    let answers = |names: &[&str]| told_names(&after_answers("", 53, Role::Server, names)[0]);
    assert_eq!(answers(&[]), (String::new(), false));
    assert_eq!(answers(&["b.example"]), ("b.example Dns".into(), false));
    let many: Vec<String> = (0..9).map(|n| format!("n{n}.example")).collect();
    let (many, _) = answers(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(many.split(", ").count(), 4, "{many}");
}

/// The name in front is not that of the destination, which the message has; a decoy (GREASE) cannot be told from it.
#[test]
fn behind_an_encrypted_hello_the_message_has_the_name() {
    let (mut world, mut session) = (World::new(""), Session::new(3));
    let inner = [&[0xfe, 0x0d][..], &counted(&[0; 9])].concat();
    let content = request("cpr", 0);
    world.take_all(&session.hello_of(&client_hello_with("front.example", &inner)));
    for records in [session.finished(), session.write(&content), session.sent(&content)] {
        world.take_all(&records);
    }
    world.take(&session.end());
    world.close();
    let leak = &world.leaks[0];
    assert_eq!(told_names(leak), ("front.example OuterSni, a.example Host".into(), false));
    assert_eq!(leak.destination.as_ref().unwrap().host.as_ref().unwrap().as_str(), "a.example");
}

/// The proxy's own name is no name of what lies behind it, and contradicts nothing.
#[test]
fn behind_a_proxy_what_was_learned_is_no_name() {
    let mut world = World::new("");
    let server = FlowSample {
        protocol: 17,
        role: Role::Server as u32,
        local_port: 53,
        remote: [10, 0, 0, 2],
        ..plain(2)
    };
    world.take(&server.opening());
    world.take(&sample::wire_data(&server, 0, (0, 0, 0), &dns_answer("proxy.example", [203, 0, 113, 9])));
    let mut flow = plain(9);
    world.take(&flow.opening());
    let asked = format!("GET http://a.example/?cpr={} HTTP/1.1\r\nHost: a.example\r\n\r\n", number(0));
    world.take(&payload(&mut flow, 100, asked.as_bytes()));
    world.take(&flow.end());
    world.close();
    assert_eq!(told_names(&world.leaks[0]), ("a.example Host".into(), false));
}

#[test]
fn what_the_socket_says_is_told_where_it_is_another_address() {
    for (asked, expected) in [
        (None, ""),
        (Some(([203, 0, 113, 9].into(), plain(9).port)), ""),
        (Some(([203, 0, 113, 9].into(), 8443)), "203.0.113.9:8443 Socket"),
        (Some(([10, 96, 0, 1].into(), 443)), "10.96.0.1:443 Socket"),
    ] {
        let (mut world, mut flow) = (World::new(""), FlowSample { asked, ..plain(9) });
        world.take(&flow.opening());
        world.take(&payload(&mut flow, 100, format!("cpr {} er sendt\n", number(0)).as_bytes()));
        world.take(&flow.end());
        world.close();
        assert_eq!(told_names(&world.leaks[0]), (expected.into(), false));
    }
}

#[test]
fn a_known_recipient_is_named_and_critical() {
    let own = "[[recipient]]\nsuffix = \"recipient.example\"\nowner = \"Statistik A/S\"\nkind = \"analytics\"\n\
               country = \"DK\"\n";
    for (config, recipient, severity) in
        [("", None, Severity::High), (own, Some("Statistik A/S"), Severity::Critical)]
    {
        let mut world = World::new(config);
        over_tls(&mut world);
        let told = world.leaks[0].destination.as_ref().unwrap().recipient.as_ref();
        assert_eq!(told.map(|name| name.as_str()), recipient);
        assert_eq!(world.leaks[0].severity, severity);
    }
}

#[test]
fn one_citizen_too_many_in_a_response_is_mass_exposure() {
    let (mut world, mut flow) = (
        World::new("[rules]\nmass_exposure_citizens = 3\n"),
        FlowSample { role: Role::Server as u32, ..plain(9) },
    );
    let rows: Vec<String> = (0..5).map(|citizen| format!("{{\"cpr\":\"{}\"}}", number(citizen))).collect();
    let body = format!("[{},{}]", rows[0], rows.join(","));
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    world.take(&flow.opening());
    world.take(&payload(&mut flow, 100, (head.clone() + &body).as_bytes()));
    let one = format!("[{}]", rows[4]);
    let next = head.replace(&body.len().to_string(), &one.len().to_string()) + &one;
    world.take(&payload(&mut flow, 100 + (head.len() + body.len()) as u32, next.as_bytes()));
    world.take(&flow.end());
    world.close();
    let is_mass = |leak: &Leak| leak.also_breaks.contains(&Rule::MassExposure);
    let told: Vec<bool> = world.leaks.iter().map(is_mass).collect();
    assert_eq!(told, [false, false, false, true, true, false], "the last is another response");
    assert_eq!((world.leaks[2].severity, world.leaks[3].severity), (Severity::High, Severity::Critical));
}
