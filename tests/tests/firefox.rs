//! Firefox without a screen, with its own NSS, over TLS 1.2 and 1.3: the page that it opens is told once, at its
//! destination.
//!
//! *Not here*: what pages load from others; that is what Firefox is asked to do, whichever program serves the page.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cprvagt_tests::held::Held;
use cprvagt_tests::live::{Need, can_run};
use cprvagt_tests::writes::Library;
use cprvagt_tests::{Lab, Trial, payload};

const SETTLE: Duration = Duration::from_secs(120);
/// Firefox takes some seconds to start, more beside other tests.
const OPENED: Duration = Duration::from_secs(120);

/// Opens nothing but the page, asks nobody for anything: no update, no list of bad sites, no icon of the page.
const QUIET: &str = r#"
user_pref("browser.startup.page", 1);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("startup.homepage_welcome_url", "");
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.chrome.site_icons", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.search.update", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.http.http3.enable", false);
user_pref("network.http.speculative-parallel-limit", 0);
user_pref("services.settings.server", "");
user_pref("toolkit.telemetry.enabled", false);
"#;

/// A profile that trusts the lab's authority and opens this page first.
fn profile(lab: &Lab, name: &str, url: &str) -> PathBuf {
    let folder = lab.scratch().path().join(name);
    fs::create_dir(&folder).unwrap();
    let database = format!("sql:{}", folder.display());
    let certutil = |arguments: &[&str]| {
        let mut command = Command::new("certutil");
        command.args(["-d", &database]).args(arguments);
        assert!(command.stderr(Stdio::null()).status().unwrap().success(), "certutil {arguments:?}");
    };
    certutil(&["-N", "--empty-password"]);
    let authority = lab.authority().file().display().to_string();
    certutil(&["-A", "-n", "lab", "-t", "C,,", "-i", &authority]);
    // Not in the arguments, which everybody can see.
    let page = format!("user_pref(\"browser.startup.homepage\", \"{url}\");\n");
    fs::write(folder.join("user.js"), [QUIET, &page].concat()).unwrap();
    folder
}

fn firefox(lab: &Lab, profile: &Path) -> Held {
    let mut firefox = lab.command_with_children("firefox-esr").unwrap();
    // It keeps what it likes in its home.
    firefox.env("HOME", profile).env("MOZ_CRASHREPORTER_DISABLE", "1");
    firefox.args(["--headless", "--no-remote", "--profile"]).arg(profile);
    Held::start(firefox.stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
}

#[test]
fn a_page_that_is_opened_is_told() {
    let needs = [Need::Root, Need::Agent, Need::Program("firefox-esr"), Need::Program("certutil")];
    if !can_run("a_page_that_is_opened_is_told", &needs) {
        return;
    }
    let mut lab = Lab::new().unwrap();
    let recipients = lab.recipient_of_each_version().unwrap();
    let trial = Trial::start(&lab, "", &[]).unwrap();
    let citizens = payload::citizens(63, recipients.len());
    for ((recipient, version), citizen) in recipients.iter().zip(&citizens) {
        let url = format!("{}/sag?cpr={citizen}", recipient.origin());
        let browser = firefox(&lab, &profile(&lab, &format!("profile-{version}"), &url));
        let started = Instant::now();
        while recipient.server.received().plain_bytes() == 0 {
            assert!(started.elapsed() < OPENED, "{version}: the page was not asked for");
            std::thread::sleep(Duration::from_millis(100));
        }
        // The answer is on its way; a connection that is cut off has an account of its own.
        std::thread::sleep(Duration::from_secs(1));
        drop(browser);
    }
    assert!(recipients.iter().all(|(recipient, _)| recipient.server.settle(SETTLE)));
    let seen = trial.stop().unwrap();
    seen.assert_each_told(&recipients, &citizens, Library::Nss.tap());
}
