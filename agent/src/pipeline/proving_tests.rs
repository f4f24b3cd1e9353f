//! What a field has shown decides what is told of it: leaks wait until it has proven itself.

use cprvagt_cpr::{Place, Scene, Trial, scan};
use cprvagt_report::Confidence;

use super::*;

/// Numbers that pass without a doubt, of different birth dates: no foreign check digit, no time near now.
fn numbers() -> impl Iterator<Item = String> {
    let scene = Scene { key: None, place: Place::Other, now_unix: now_unix() };
    let mut dates = HashSet::new();
    Citizens::new(7).filter_map(move |number| {
        let mut passes = false;
        scan(number.digits(), &scene, &mut |hit| passes = hit.trial == Trial::Passes);
        let digits = std::str::from_utf8(number.digits()).unwrap().to_owned();
        (passes && dates.insert(digits[..6].to_owned())).then_some(digits)
    })
}

fn json(body: &str) -> Vec<u8> {
    let head = "POST /x HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/json\r\n";
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n").into_bytes()
}

/// A run in which plain flows send messages.
struct Run {
    world: World,
    flow: FlowSample,
    seq: u32,
}

impl Run {
    fn new(config: &str) -> Self {
        let mut run = Self { world: World::new(config), flow: plain(9), seq: 1 };
        run.connect(9);
        run
    }

    fn connect(&mut self, id: u64) {
        (self.flow, self.seq) = (plain(id), 1);
        self.world.take(&self.flow.opening());
    }

    fn send(&mut self, message: &[u8]) {
        let record = payload(&mut self.flow, self.seq, message);
        self.world.take(&record);
        self.seq += message.len() as u32;
    }

    /// Field, confidence and score of the leaks told since the last call.
    fn told(&mut self) -> Vec<String> {
        let shown = |leak: Leak| {
            let field = leak.location.field.as_ref().map_or("-", |field| field.as_str()).to_owned();
            format!("{field} {} {}", leak.confidence, leak.score.decibans())
        };
        self.world.leaks.drain(..).map(shown).collect()
    }
}

#[test]
fn the_first_citizen_of_a_field_is_told_with_the_second() {
    let (mut run, numbers) = (Run::new(""), numbers().take(4).collect::<Vec<_>>());
    let body = |number: &String| json(&format!("{{\"id\":\"{number}\"}}"));
    run.send(&body(&numbers[0]));
    assert_eq!(run.told(), [""; 0]);
    run.send(&body(&numbers[1]));
    let citizens: Vec<_> = run.world.leaks.iter().map(|leak| leak.pseudonym).collect();
    assert_ne!(citizens[0], citizens[1]);
    assert!(run.world.leaks[0].observed_at <= run.world.leaks[1].observed_at, "in the order they were seen");
    assert_eq!(run.told(), ["id medium 10", "id medium 10"]);
    run.send(&body(&numbers[2]));
    assert_eq!(run.told(), ["id high 20"]);
    // Another connection of the same program to the same host.
    run.connect(10);
    run.send(&body(&numbers[3]));
    assert_eq!(run.told(), ["id high 20"]);
}

#[test]
fn one_citizen_proves_nothing_however_often() {
    let (mut run, number) = (Run::new(""), numbers().next().unwrap());
    for _ in 0..20 {
        run.send(&json(&format!("{{\"id\":\"{number}\"}}")));
    }
    run.send(&json(&format!("{{\"other\":\"{}\"}}", numbers().nth(1).unwrap())));
    assert_eq!(run.told(), [""; 0]);
    assert_eq!(run.world.balanced().0, [""; 0], "nor at the end of the run");
}

#[test]
fn other_values_of_the_field_stand_against_it() {
    let (mut run, numbers) = (Run::new(""), numbers().take(5).collect::<Vec<_>>());
    let list = |values: &[String]| json(&format!("{{\"ids\":[\"{}\"]}}", values.join("\",\"")));
    run.send(&list(&["9999999999".to_owned()]));
    run.send(&list(&numbers[..3]));
    assert_eq!(run.told(), [""; 0], "three of four");
    run.send(&list(&numbers[3..4]));
    assert_eq!(run.told(), ["ids[] high 20"; 4]);
    run.send(&list(&numbers[..1]));
    assert_eq!(run.told(), ["ids[] high 20"], "known values too");
}

#[test]
fn a_demoted_field_is_quiet_in_a_url_too() {
    let (mut run, numbers) = (Run::new(""), numbers().take(3).collect::<Vec<_>>());
    let send = |run: &mut Run, value: &str| run.send(&get(&format!("/order?q={value}")));
    send(&mut run, &numbers[0]);
    assert_eq!(run.told(), ["q medium 10"], "its place in a URL is enough");
    for order in 0..50 {
        send(&mut run, &format!("99{:08}", order * 1_000_003));
    }
    send(&mut run, &numbers[1]);
    assert_eq!(run.told(), [""; 0]);
    // Another field is not concerned.
    run.send(&get(&format!("/order?r={}", numbers[2])));
    assert_eq!(run.told(), ["r medium 10"]);
}

#[test]
fn what_waited_in_a_demoted_field_is_forgotten() {
    let (mut run, numbers) = (Run::new(""), numbers().take(80).collect::<Vec<_>>());
    let send = |run: &mut Run, value: &str| run.send(&json(&format!("{{\"id\":\"{value}\"}}")));
    send(&mut run, &numbers[0]);
    for order in 0..80 {
        send(&mut run, &format!("99{:08}", order * 1_000_003));
    }
    for number in &numbers[1..] {
        send(&mut run, number);
    }
    let digits = numbers[0].as_bytes().first_chunk().unwrap();
    let first = run.world.pipeline.as_ref().unwrap().keys.key.pseudonym(digits);
    assert!(run.world.leaks.iter().all(|leak| leak.pseudonym != first));
    assert!((30..79).contains(&run.told().len()), "the use of the field has changed");
}

#[test]
fn what_policy_tells_anyway_does_not_wait() {
    let (mut run, numbers) = (Run::new("[report]\nmin_confidence = \"low\"\n"), numbers().take(2));
    let told: Vec<_> = numbers
        .map(|number| {
            run.send(&json(&format!("{{\"id\":\"{number}\"}}")));
            run.told()
        })
        .collect();
    assert_eq!(told, [["id low -3.1"], ["id medium 10"]]);
}

#[test]
fn where_only_high_is_told_it_waits_for_that() {
    let mut run = Run::new("[report]\nmin_confidence = \"high\"\n");
    let told: Vec<_> = numbers()
        .take(3)
        .map(|number| {
            run.send(&json(&format!("{{\"id\":\"{number}\"}}")));
            run.told().len()
        })
        .collect();
    assert_eq!(told, [0, 0, 3]);
}

#[test]
fn a_denying_name_takes_certainty() {
    let mut run = Run::new("");
    let told: Vec<_> = numbers()
        .take(3)
        .map(|number| {
            run.send(&json(&format!("{{\"client_id\":\"{number}\"}}")));
            run.told()
        })
        .collect();
    assert_eq!(told, [vec![], vec![], vec!["client_id high 20"; 3]]);
}

#[test]
fn a_number_in_two_fields_of_a_message_is_told_once() {
    let numbers: Vec<_> = numbers().take(3).collect();
    // Both wait, and are proven one after the other.
    let mut run = Run::new("");
    run.send(&json(&format!("{{\"id\":\"{0}\",\"ref\":\"{0}\"}}", numbers[0])));
    run.send(&json(&format!("{{\"id\":\"{}\"}}", numbers[1])));
    assert_eq!(run.told(), ["id medium 10", "id medium 10"]);
    run.send(&json(&format!("{{\"ref\":\"{}\"}}", numbers[1])));
    assert_eq!(run.told(), ["ref medium 10"], "the first message was told");
    // One waits, the other is told at once.
    let mut run = Run::new("");
    run.send(&json(&format!("{{\"id\":\"{0}\",\"cpr\":\"{0}\"}}", numbers[0])));
    assert_eq!(run.told(), ["cpr high 21.9"]);
    run.send(&json(&format!("{{\"id\":\"{}\"}}", numbers[1])));
    assert_eq!(run.told(), ["id medium 10"]);
}

#[test]
fn fields_of_different_destinations_and_paths_are_different() {
    let (mut run, numbers) = (Run::new(""), numbers().take(2).collect::<Vec<_>>());
    let message = |host: &str, number: &str| {
        format!("GET /x HTTP/1.1\r\nHost: {host}\r\nX-Id: {number}\r\n\r\n").into_bytes()
    };
    run.send(&message("a.example", &numbers[0]));
    run.send(&message("b.example", &numbers[1]));
    assert_eq!(run.told(), [""; 0]);
    run.send(&message("b.example", &numbers[0]));
    assert_eq!(run.told(), ["X-Id medium 10"; 2], "the two that went to b.example");
}

/// What waits for its field has waited for its records before: what became of it is known.
#[test]
fn whether_it_was_sent_is_told_as_it_was() {
    let (mut world, numbers) = (World::new(""), numbers().take(2).collect::<Vec<_>>());
    let contents = numbers.iter().map(|number| json(&format!("{{\"id\":\"{number}\"}}")));
    for (id, content) in (3..).zip(contents) {
        let mut session = Session::new(id);
        world.take_all(&session.begin());
        world.take_all(&session.write(&content));
        if id == 4 {
            world.take_all(&session.sent(&content));
        }
        world.take(&session.end());
        world.pass(ENDED_KEPT);
        assert_eq!(world.leaks.len(), if id == 4 { 2 } else { 0 });
    }
    assert_eq!(world.balanced().0, ["id 3 tls likely not-sent", "id 4 tls proven sent"]);
}

/// The field is proven by what was written, before that is seen to leave.
#[test]
fn one_that_left_is_told_when_another_that_did_not_proves_its_field() {
    let (mut world, numbers) = (World::new(""), numbers().take(2).collect::<Vec<_>>());
    let (mut one, mut two) = (Session::new(3), Session::new(4));
    let content = |number: &str| json(&format!("{{\"id\":\"{number}\"}}"));
    world.take_all(&one.begin());
    world.take_all(&one.write(&content(&numbers[0])));
    world.take_all(&one.sent(&content(&numbers[0])));
    assert!(world.leaks.is_empty());
    world.take_all(&two.begin());
    world.take_all(&two.write(&content(&numbers[1])));
    assert_eq!(world.leaks.len(), 1);
    world.take(&two.end());
    world.take(&one.end());
    let mut leaks = world.balanced().0;
    leaks.sort();
    assert_eq!(leaks, ["id 3 tls proven sent", "id 4 tls likely not-sent"]);
}

#[test]
fn what_waits_is_forgotten_after_its_time() {
    let (mut run, numbers) = (Run::new(""), numbers().take(2).collect::<Vec<_>>());
    run.send(&json(&format!("{{\"id\":\"{}\"}}", numbers[0])));
    run.world.pass(Duration::from_secs(86_400));
    run.send(&json(&format!("{{\"id\":\"{}\"}}", numbers[1])));
    assert_eq!(run.told(), ["id medium 10"], "the field is known for longer than the leak waits");
}

#[test]
fn confidence_words_are_ordered_from_the_surest() {
    assert!(Confidence::High < Confidence::Medium && Confidence::Medium < Confidence::Low);
}
