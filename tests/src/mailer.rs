//! A Postfix of one test: all its files, and how it is started.

use std::fs::{self, File, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use nix::unistd::User;

use crate::held::Held;
use crate::lab::Lab;
use crate::scratch::{self, Scratch};

/// The services of Postfix that passing on takes.
const SERVICES: &str = "pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
";

/// All files of a Postfix that passes all mail on to one server, over TLS.
#[derive(Debug)]
pub struct Mailer {
    /// Not the lab's own folder: Postfix's own user has to find its queue by its path.
    _scratch: Scratch,
    config: PathBuf,
}

impl Mailer {
    /// Passes on to port 25 of `to`, which has a certificate for `host`.
    ///
    /// # Errors
    /// When its files cannot be made, or Postfix is not there.
    pub fn new(lab: &Lab, to: IpAddr, host: &str) -> Result<Self> {
        let scratch = Scratch::new(&scratch::unique_name())?;
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o711))?;
        let [configured, queue, data] = ["config", "queue", "data"].map(|name| scratch.path().join(name));
        for folder in [&configured, &queue, &data] {
            fs::create_dir(folder)?;
        }
        let owner = User::from_name("postfix")?.context("there is no user postfix")?;
        chown(&data, Some(owner.uid.as_raw()), None)?;
        let config = format!(
            "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\n\
             maillog_file = /dev/stdout\nmyhostname = post.kilde.example\nmydestination =\n\
             alias_maps =\nalias_database =\ninet_protocols = all\n\
             relayhost = [{to}]:25\nsmtp_tls_security_level = secure\n\
             smtp_tls_secure_cert_match = {host}\nsmtp_tls_servername = {host}\nsmtp_tls_CAfile = {}\n",
            queue.display(),
            data.display(),
            lab.authority().file().display(),
        );
        fs::write(configured.join("main.cf"), config)?;
        fs::write(configured.join("master.cf"), SERVICES)?;
        Ok(Self { _scratch: scratch, config: configured })
    }

    /// Has it take mail on a port of loopback as well.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn listen(&self, port: u16) -> Result<()> {
        let services = format!("{SERVICES}127.0.0.1:{port} inet n - n - - smtpd\n");
        Ok(fs::write(self.config.join("master.cf"), services)?)
    }

    /// Puts a mail into the queue, and starts what passes it on.
    ///
    /// # Errors
    /// When Postfix does not take it, or cannot be started.
    pub fn send(&self, lab: &Lab, mail: &Path) -> Result<Held> {
        self.check(lab)?;
        let mut sendmail = lab.command("/usr/sbin/sendmail")?;
        sendmail.arg("-C").arg(&self.config).args(["-f", "sag@kilde.example", "sag@analyse.example"]);
        ensure!(sendmail.stdin(File::open(mail)?).status()?.success(), "the mail was not taken");
        self.start(lab)
    }

    /// Starts it; it makes its folders first.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, lab: &Lab) -> Result<Held> {
        self.check(lab)?;
        let mut master = lab.command_with_children("postfix")?;
        Held::start(master.arg("-c").arg(&self.config).arg("start-fg"))
    }

    fn check(&self, lab: &Lab) -> Result<()> {
        let mut check = lab.command("postfix")?;
        let status = check.arg("-c").arg(&self.config).arg("check").status()?;
        ensure!(status.success(), "Postfix does not take its folders");
        Ok(())
    }
}
