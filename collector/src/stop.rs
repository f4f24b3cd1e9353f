//! Asking all parts to end, and being asked.

use tokio::sync::watch;

/// Asks. Dropping it asks too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Is asked. Clones are asked at the same time.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Both ends.
pub fn stop() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks all to end, now and for good.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns once asked; at once when asked before.
    pub async fn asked(&mut self) {
        // The error means that nobody is left to ask, and then nobody is left to serve.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
