//! A collector whose keys were lost or replaced does not start, and makes no new ones.

use cprvagt_collector::serve::{Bounds, Collector};

use crate::rig::config;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_gone_or_another_is_named_and_not_made_anew() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&dir, &other] {
        Collector::start(&config(dir), Bounds::default()).await.unwrap().stop().await;
    }
    for file in ["ca.key", "ca.crt", "sealing.key", "citizen.key"] {
        let path = dir.path().join("data").join(file);
        let kept = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        check_refused(&dir, &format!("{}: is gone", path.display())).await;
        assert!(!path.exists(), "{file}");
        std::fs::copy(other.path().join("data").join(file), &path).unwrap();
        check_refused(&dir, &format!("{}: is not the one", path.display())).await;
        std::fs::write(&path, kept).unwrap();
    }
    Collector::start(&config(&dir), Bounds::default()).await.unwrap().stop().await;
}

async fn check_refused(dir: &tempfile::TempDir, expected: &str) {
    let Err(error) = Collector::start(&config(dir), Bounds::default()).await else { panic!("it started") };
    assert!(error.to_string().starts_with(expected), "{error}");
}
