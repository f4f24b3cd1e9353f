//! `cprvagt-collector token`: a token for one new agent, shown once.

use std::io::Write;

use cprvagt_report::{Moment, Token};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Failure, open};
use crate::authority::Authority;
use crate::cli::{self, Exit};
use crate::config::Config;
use crate::keys::kept;
use crate::serve::trusted;

/// Makes a token, keeps its hash, and prints it.
///
/// # Errors
/// The data cannot be used, or there are no random numbers.
pub(super) async fn run(config: &Config, options: &cli::Token, out: &mut impl Write) -> Result<(), Failure> {
    let (data, store) = open(config).await?;
    let now = Timestamp::now();
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, error);
    let load = || Authority::load_or_make(&data, now).map_err(|error| failed(&error));
    let authority = kept(&store, &data, Authority::FILES, load, Authority::marks).await?;
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *secret).map_err(|error| failed(&error))?;
    let token = Token::new(*secret, &trusted(config, &authority)?);
    let hash = Token::hash_of_secret(&token.secret()).expect("a token's secret is one");
    let note = Some(options.note.as_str()).filter(|note| !note.is_empty());
    store.add_token(&hash, Moment(now), Moment(now + options.life), note).await?;
    writeln!(out, "{token}")?;
    Ok(())
}
