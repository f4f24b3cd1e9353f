//! No number gets out of a report into a log line, a file or an answer, whatever an agent sends.

use std::path::Path;

use cprvagt_cpr::citizens::Citizens;
use cprvagt_report::{DELIVERY_TYPE, ENROL_PATH, Envelope, REPORTS_PATH};
use nix::sys::signal::Signal;
use uuid::Uuid;

use crate::client::Dial;
use crate::commands::Program;
use crate::rig::{deliver, receipts};
use crate::sample;

/// Ten digits of a made-up citizen.
fn number() -> String {
    let citizen = Citizens::new(7).next().expect("there is always one more");
    String::from_utf8(citizen.digits().to_vec()).unwrap()
}

/// How a number may be written: plain, parted, hex and base64.
fn spellings(number: &str) -> Vec<Vec<u8>> {
    let parted = format!("{}-{}", &number[..6], &number[6..]);
    let mut spellings = vec![];
    for text in [number, &parted] {
        spellings.push(text.as_bytes().to_vec());
        spellings.push(data_encoding::HEXLOWER.encode(text.as_bytes()).into_bytes());
        spellings.push(data_encoding::BASE64_NOPAD.encode(text.as_bytes()).into_bytes());
    }
    spellings
}

fn holds(bytes: &[u8], spellings: &[Vec<u8>]) -> bool {
    spellings.iter().any(|spelling| bytes.windows(spelling.len()).any(|window| window == spelling))
}

fn files(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_in_logs_files_or_answers() {
    let (program, number) = (Program::new(), number());
    let parted = format!("{}-{}", &number[..6], &number[6..]);
    let spellings = spellings(&number);
    assert!(holds(format!("a{parted}b").as_bytes(), &spellings));
    let serving = program.serve("trace");
    let agent = program.enrol(&serving, &format!("web-{number}")).await;
    let dial = || Dial { shown: Some(agent.shown.clone()), ..Dial::to(serving.agents) };
    let mut client = dial().connect().await.unwrap();
    let epoch = Uuid::now_v7();
    let report = sample::report(vec![sample::leak_naming(&number), sample::leak_naming(&parted)]);
    let envelope = agent.envelope(epoch, 1, &report);
    assert_eq!(receipts(&deliver(&mut client, vec![envelope]).await).receipts.len(), 1);

    // What cannot be read is kept as it came, and that is sealed; here it is not, and neither told nor logged.
    let mut answers = vec![];
    let unsealed = Envelope { epoch, sequence: 2, sealed: vec![] };
    answers.push(deliver(&mut client, vec![unsealed]).await.body);
    for (path, content_type) in
        [(REPORTS_PATH, DELIVERY_TYPE), (ENROL_PATH, "application/json"), ("/v1/renew", "application/json")]
    {
        let answer = client.post(path, content_type, format!("{{\"cpr\":\"{parted}\"}}").into_bytes()).await;
        answers.push(answer.unwrap().body);
    }
    for arguments in [vec!["incidents"], vec!["incidents", "--json"], vec!["agents"]] {
        answers.push(program.told(&arguments).into());
    }
    answers.push(serving.get("/metrics").into());
    for answer in answers {
        assert!(!holds(&answer, &spellings), "{}", String::from_utf8_lossy(&answer));
    }
    let (code, told) = serving.end(Signal::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(told.lines().count() > 20, "trace told too little to mean anything");
    assert!(!holds(told.as_bytes(), &spellings));
    let mut found = vec![];
    files(program.dir.path(), &mut found);
    assert!(found.iter().any(|path| path.ends_with("data/collector.db")));
    for path in found {
        assert!(!holds(&std::fs::read(&path).unwrap(), &spellings), "{}", path.display());
    }
}
