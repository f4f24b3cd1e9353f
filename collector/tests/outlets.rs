//! Outlets against a real receiver and real files: what is delivered, signed, retried, replayed and held back.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "ocsf/incidents.rs"]
mod incidents;
#[path = "ocsf/receiver.rs"]
mod receiver;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cprvagt_collector::outlets::{
    self, FileOutlet, OutletError, OutletSettings, OutletStatus, Outlets, WebhookOutlet,
};
use cprvagt_collector::store::{ReplayFrom, Store};
use cprvagt_cpr::citizens::Citizens;
use incidents::{entry, leak, store, take, with};
use receiver::{Answer, Authority, Receiver, Seen};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::oneshot;

const SECRET: &[u8] = b"correct horse battery staple";
/// Long enough for any machine; nothing is measured.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    dir: TempDir,
    store: Store,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::set_permissions(dir.path().join("data"), fs::Permissions::from_mode(0o700)).unwrap();
        let store = store(&dir.path().join("data")).await;
        Self { dir, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret_file(&self) -> PathBuf {
        let path = self.path("secret");
        fs::write(&path, SECRET).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn to_webhooks(&self, receivers: &[(&str, &Receiver)]) -> OutletSettings {
        let webhooks = receivers.iter().map(|(name, receiver)| WebhookOutlet {
            name: (*name).to_owned(),
            url: receiver.url(),
            secret_file: self.secret_file(),
            ca_file: None,
        });
        OutletSettings { file: None, webhooks: webhooks.collect(), quiet: Duration::from_millis(100) }
    }

    fn to_file(&self, path: PathBuf) -> OutletSettings {
        let file = Some(FileOutlet { path });
        OutletSettings { file, webhooks: vec![], quiet: Duration::from_millis(100) }
    }

    fn start(&self, settings: &OutletSettings) -> Outlets {
        outlets::start(&self.store, settings).unwrap()
    }

    /// Makes `count` new incidents, each with its own system.
    async fn incidents(&self, count: u32) {
        let leaks = (0..count).map(|number| {
            let system = format!("system {}", uuid::Uuid::now_v7().simple());
            entry(with(leak(number), json!({ "system": { "name": system } })))
        });
        take(&self.store, leaks.collect()).await;
    }

    /// The outlet's cursor, once it stands at `last_id`.
    async fn reaches(&self, outlet: &str, last_id: i64) {
        until(async || self.store.cursor(outlet).await.unwrap().last_id >= last_id).await;
    }
}

async fn until(mut reached: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !reached().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it comes to pass");
}

fn uids(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|request| request.event["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

fn deliveries(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|request| request.delivery.as_str()).collect()
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_event_arrives_once_and_signed() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    let outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    scene.incidents(1).await;
    outlets.waker().wake();
    scene.reaches("soc", 1).await;
    let seen = receiver.seen();
    let [request] = seen.as_slice() else { panic!("{} requests", seen.len()) };
    assert_eq!(request.path, "/hook?stream=1");
    assert_eq!(request.headers["content-type"], "application/json");
    let timestamp = request.headers["cprvagt-timestamp"].to_str().unwrap();
    let signed = [timestamp.as_bytes(), b".", request.delivery.as_bytes(), b".", &request.body].concat();
    let expected = format!("v1={}", hex(&hmac_sha256(SECRET, &signed)));
    assert_eq!(request.headers["cprvagt-signature"], expected.as_str());
    assert_eq!(request.event["class_uid"], 2006);
    assert_eq!(request.event["activity_name"], "Create");
}

/// HMAC by its definition (RFC 2104), independent of the library that signs.
fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let pad =
        |byte: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ byte).collect() };
    let inner = Sha256::digest([&pad(0x36)[..], text].concat());
    Sha256::digest([&pad(0x5c)[..], &inner[..]].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_change_is_told_as_an_update_of_the_same_finding() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    take(&scene.store, vec![entry(leak(1))]).await;
    let _outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    scene.reaches("soc", 1).await;
    take(&scene.store, vec![entry(leak(2))]).await;
    scene.reaches("soc", 2).await;
    let seen = receiver.seen();
    let [created, updated] = seen.as_slice() else { panic!("{} requests", seen.len()) };
    assert_eq!(updated.event["activity_name"], "Update");
    assert_eq!(updated.event["unmapped"]["occurrences"], 2);
    assert_eq!(created.event["finding_info"]["uid"], updated.event["finding_info"]["uid"]);
    assert_ne!(created.event["metadata"]["uid"], updated.event["metadata"]["uid"]);
    assert_ne!(created.delivery, updated.delivery);
}

#[tokio::test]
async fn a_busy_receiver_says_when() {
    let busy = Answer::Status(503, Some(("retry-after", "3".to_owned())));
    let (scene, receiver) = (Scene::new().await, Receiver::start([busy]).await);
    scene.incidents(1).await;
    let before = jiff::Timestamp::now();
    let outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    until(async || outlets.status()[0].failed_attempts == 1).await;
    let status = outlets.status().remove(0);
    assert_eq!(status.last_error.as_deref(), Some("busy (503)"));
    assert!(status.next_try_at.unwrap() >= before + jiff::SignedDuration::from_secs(3));
    scene.reaches("soc", 1).await;
    until(async || outlets.status()[0].failed_attempts == 0).await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].delivery, seen[1].delivery);
    assert_eq!(seen[0].body, seen[1].body);
}

#[tokio::test]
async fn what_is_refused_comes_again_in_order_and_no_redirect_is_followed() {
    let elsewhere = Receiver::start([]).await;
    let moved = Answer::Status(307, Some(("location", elsewhere.url())));
    let (scene, receiver) = (Scene::new().await, Receiver::start([Answer::Status(410, None), moved]).await);
    scene.incidents(3).await;
    let _outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    scene.reaches("soc", 3).await;
    let seen = receiver.seen();
    let ids = deliveries(&seen);
    assert_eq!(ids.len(), 5);
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "{ids:?}");
    let told: Vec<String> = rows(&scene).await;
    assert_eq!(uids(&seen[2..]), told);
    assert_eq!(elsewhere.count(), 0);
}

/// The uids of all events of the outbox, in order.
async fn rows(scene: &Scene) -> Vec<String> {
    let rows = scene.store.outbox_after(0, 100).await.unwrap();
    let uid = |event: &[u8]| serde_json::from_slice::<Value>(event).unwrap()["metadata"]["uid"].clone();
    rows.iter().map(|row| uid(&outlets::event_json(row)).as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_it_later() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    scene.incidents(1).await;
    let mut settings = scene.to_webhooks(&[("soc", &receiver)]);
    drop(receiver);
    let outlets = scene.start(&settings);
    until(async || outlets.status()[0].failed_attempts > 1).await;
    assert_eq!(outlets.status()[0].last_error.as_deref(), Some("unreachable"));
    outlets.stop().await;
    let receiver = Receiver::start([]).await;
    settings.webhooks[0].url = receiver.url();
    let _outlets = scene.start(&settings);
    scene.reaches("soc", 1).await;
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_replay_has_the_same_ids() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    scene.incidents(3).await;
    let outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    scene.reaches("soc", 3).await;
    scene.store.rewind("soc", ReplayFrom::Id(2)).await.unwrap();
    outlets.waker().wake();
    until(async || receiver.count() == 5).await;
    let seen = receiver.seen();
    for (first, again) in [(1, 3), (2, 4)] {
        assert_eq!(seen[first].delivery, seen[again].delivery);
        assert_eq!(seen[first].body, seen[again].body);
    }
}

#[tokio::test]
async fn a_replay_while_something_is_sent_is_not_undone() {
    // At the start the replay leads back to where the cursor stands.
    for (sent, told) in [(0, 1), (2, 3)] {
        let (finish, finished) = oneshot::channel();
        let before = (0..sent).map(|_| Answer::Status(200, None));
        let receiver = Receiver::start(before.chain([Answer::Once(finished)])).await;
        let scene = Scene::new().await;
        scene.incidents(told).await;
        let _outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
        until(async || receiver.count() == sent + 1).await;
        scene.store.rewind("soc", ReplayFrom::Id(1)).await.unwrap();
        finish.send(()).unwrap();
        scene.reaches("soc", told.into()).await;
        let ids = receiver.seen();
        let ids = deliveries(&ids);
        assert_eq!(ids[sent + 1..], ids[..=sent], "all was told again");
    }
}

#[tokio::test]
async fn a_crash_before_the_receipt_sends_the_same_delivery_again() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([Answer::Silence]).await);
    scene.incidents(1).await;
    let settings = scene.to_webhooks(&[("soc", &receiver)]);
    let outlets = scene.start(&settings);
    until(async || receiver.count() == 1).await;
    drop(outlets);
    assert_eq!(scene.store.cursor("soc").await.unwrap().last_id, 0);
    let outlets = scene.start(&settings);
    scene.reaches("soc", 1).await;
    outlets.stop().await;
    let seen = receiver.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].delivery, seen[1].delivery);
}

#[tokio::test]
async fn a_store_that_cannot_write_does_not_repeat_deliveries() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    scene.incidents(1).await;
    let mut other = database(&scene).await;
    let transaction = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    until(async || outlets.status()[0].last_error.is_some()).await;
    assert_eq!(receiver.count(), 1);
    transaction.rollback().await.unwrap();
    scene.reaches("soc", 1).await;
    assert_eq!(receiver.count(), 1);
}

/// The store's file, opened beside it.
async fn database(scene: &Scene) -> SqliteConnection {
    let file = scene.path("data").join("collector.db");
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

#[tokio::test]
async fn a_silent_receiver_holds_up_nobody_else() {
    let scene = Scene::new().await;
    let (silent, well) = (Receiver::start([Answer::Silence]).await, Receiver::start([]).await);
    scene.incidents(5).await;
    let mut settings = scene.to_webhooks(&[("silent", &silent), ("well", &well)]);
    settings.file = Some(FileOutlet { path: scene.path("events.jsonl") });
    let _outlets = scene.start(&settings);
    scene.reaches("well", 5).await;
    scene.reaches(outlets::FILE_OUTLET, 5).await;
    assert_eq!(scene.store.cursor("silent").await.unwrap().last_id, 0);
    assert_eq!(silent.count(), 1);
    let ids: Vec<String> = well.seen().into_iter().map(|request| request.delivery).collect();
    assert!(!ids.contains(&silent.seen()[0].delivery), "the id is the outlet's own");
}

#[tokio::test]
async fn a_torn_line_is_ended_and_a_rotated_file_left() {
    let scene = Scene::new().await;
    let (path, old) = (scene.path("events.jsonl"), scene.path("events.jsonl.1"));
    fs::write(&path, "{\"metadata\":{\"ui").unwrap();
    scene.incidents(2).await;
    let outlets = scene.start(&scene.to_file(path.clone()));
    scene.reaches(outlets::FILE_OUTLET, 2).await;
    fs::rename(&path, &old).unwrap();
    scene.incidents(1).await;
    outlets.waker().wake();
    scene.reaches(outlets::FILE_OUTLET, 3).await;
    let (old, new) = (lines(&old), lines(&path));
    assert_eq!((old.len(), new.len()), (3, 1));
    let events = old[1..].iter().chain(&new).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let told: Vec<String> = events.map(|it| it["metadata"]["uid"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, rows(&scene).await);
}

#[tokio::test]
async fn a_full_disk_keeps_the_cursor_until_there_is_room() {
    let scene = Scene::new().await;
    let path = scene.path("events.jsonl");
    symlink("/dev/full", &path).unwrap();
    scene.incidents(2).await;
    let outlets = scene.start(&scene.to_file(path.clone()));
    until(async || outlets.status()[0].failed_attempts > 0).await;
    assert_eq!(outlets.status()[0].last_error.as_deref(), Some("unwritable (28)"));
    assert_eq!(scene.store.cursor(outlets::FILE_OUTLET).await.unwrap().last_id, 0);
    fs::remove_file(&path).unwrap();
    scene.reaches(outlets::FILE_OUTLET, 2).await;
    assert_eq!(lines(&path).len(), 2);
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_refused() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    let settings = scene.to_webhooks(&[("soc", &receiver)]);
    fs::set_permissions(scene.path("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = outlets::start(&scene.store, &settings).err();
    assert!(matches!(refused, Some(OutletError::Exposed { mode: 0o644, .. })), "{refused:?}");
}

#[tokio::test]
async fn an_event_with_a_number_stays() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    scene.incidents(3).await;
    let number = Citizens::new(5).next().unwrap();
    let number = String::from_utf8(number.digits().to_vec()).unwrap();
    tamper(&scene, "api.tracker.example", &number).await;
    let mut settings = scene.to_webhooks(&[("soc", &receiver)]);
    settings.file = Some(FileOutlet { path: scene.path("events.jsonl") });
    let outlets = scene.start(&settings);
    scene.reaches("soc", 3).await;
    scene.reaches(outlets::FILE_OUTLET, 3).await;
    let held_back = |status: OutletStatus| (status.held_back, status.held_back_last) == (1, Some(2));
    until(async || outlets.status().into_iter().all(held_back)).await;
    let held_back = scene.store.held_back(None, 10).await.unwrap();
    let mut names: Vec<_> = held_back.iter().map(|it| (it.outlet.as_str(), it.id)).collect();
    names.sort_unstable();
    assert_eq!(names, [("file", 2), ("soc", 2)]);
    assert!(held_back.iter().all(|it| it.reason == "the event could hold a readable number"));
    assert_eq!(receiver.count(), 2);
    assert_eq!(lines(&scene.path("events.jsonl")).len(), 2);
    let left = receiver.seen().into_iter().map(|request| request.body.to_vec());
    let left: Vec<u8> = left.chain([fs::read(scene.path("events.jsonl")).unwrap()]).flatten().collect();
    assert!(!String::from_utf8(left).unwrap().contains(&number));
}

#[tokio::test]
async fn what_was_held_back_goes_out_by_a_replay_once_it_may() {
    let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
    scene.incidents(3).await;
    let number = Citizens::new(5).next().unwrap();
    let number = String::from_utf8(number.digits().to_vec()).unwrap();
    tamper(&scene, "api.tracker.example", &number).await;
    let outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    scene.reaches("soc", 3).await;
    until(async || outlets.status()[0].held_back == 1).await;
    outlets.stop().await;
    let outlets = scene.start(&scene.to_webhooks(&[("soc", &receiver)]));
    until(async || outlets.status()[0].held_back == 1).await;
    tamper(&scene, &number, "api.tracker.example").await;
    scene.store.rewind("soc", ReplayFrom::Id(2)).await.unwrap();
    outlets.waker().wake();
    until(async || outlets.status()[0].held_back == 0).await;
    assert_eq!(receiver.count(), 4);
    assert!(scene.store.held_back(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_row_that_cannot_be_read_stops_nobody() {
    for spoilt in ["", "{", "null", r#"{"change":"created"}"#] {
        let (scene, receiver) = (Scene::new().await, Receiver::start([]).await);
        scene.incidents(3).await;
        let spoil = sqlx::query("UPDATE outbox SET event = ? WHERE id = 2").bind(spoilt);
        spoil.execute(&mut database(&scene).await).await.unwrap();
        let mut settings = scene.to_webhooks(&[("soc", &receiver)]);
        settings.file = Some(FileOutlet { path: scene.path("events.jsonl") });
        let _outlets = scene.start(&settings);
        for outlet in ["soc", outlets::FILE_OUTLET] {
            scene.reaches(outlet, 3).await;
            let held_back = scene.store.held_back(Some(outlet), 10).await.unwrap();
            let [event] = &held_back[..] else { panic!("{outlet}: {held_back:?}") };
            assert_eq!((event.id, event.reason.as_str()), (2, "the event's row cannot be read"));
        }
        assert_eq!((receiver.count(), lines(&scene.path("events.jsonl")).len()), (2, 2));
    }
}

/// Writes `new` for `old` in the second event of the outbox: what the store's own scrubber would not let pass.
async fn tamper(scene: &Scene, old: &str, new: &str) {
    let mut database = database(scene).await;
    let query =
        sqlx::query("UPDATE outbox SET event = replace(event, ?, ?) WHERE id = 2").bind(old).bind(new);
    assert_eq!(query.execute(&mut database).await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn https_is_trusted_by_the_authorities_named() {
    let scene = Scene::new().await;
    let (ours, theirs) = (Authority::new(), Authority::new());
    fs::write(scene.path("ours.pem"), ours.pem()).unwrap();
    let (receiver, stranger) = (Receiver::start_tls(&ours).await, Receiver::start_tls(&theirs).await);
    scene.incidents(1).await;
    let mut settings = scene.to_webhooks(&[("ours", &receiver), ("theirs", &stranger)]);
    settings.webhooks.iter_mut().for_each(|webhook| webhook.ca_file = Some(scene.path("ours.pem")));
    let outlets = scene.start(&settings);
    scene.reaches("ours", 1).await;
    until(async || outlets.status()[1].failed_attempts > 0).await;
    assert_eq!(outlets.status()[1].last_error.as_deref(), Some("tls"));
    assert_eq!((receiver.count(), stranger.count()), (1, 0));
    fs::set_permissions(scene.path("ours.pem"), fs::Permissions::from_mode(0o666)).unwrap();
    let refused = outlets::check(&settings).err();
    assert!(matches!(refused, Some(OutletError::Writable { mode: 0o666, .. })), "{refused:?}");
    fs::set_permissions(scene.path("ours.pem"), fs::Permissions::from_mode(0o664)).unwrap();
    outlets::check(&settings).unwrap();
    fs::write(scene.path("ours.pem"), "").unwrap();
    let refused = outlets::start(&scene.store, &settings).err();
    assert!(matches!(refused, Some(OutletError::NoAuthority { .. })), "{refused:?}");
}
