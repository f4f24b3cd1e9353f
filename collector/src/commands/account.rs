//! `cprvagt-collector account`: who may read the pages.

use std::io::Write;

use cprvagt_report::Moment;
use zeroize::Zeroizing;

use super::table::Table;
use super::{Failure, open, password};
use crate::cli::{self, Account, Exit};
use crate::config::Config;
use crate::store::{self, Role};
use crate::web::password::hash;

/// Adds, lists, changes or disables accounts.
///
/// # Errors
/// There is one already or none, the password is not taken, or the data cannot be used.
pub(super) async fn run(config: &Config, what: &Account, out: &mut impl Write) -> Result<(), Failure> {
    let (_, store) = open(config).await?;
    match what {
        Account::Add(options) => {
            let hash = hashed(&password::ask()?)?;
            store.add_account(&options.name, &hash, options.role.into(), Moment::now()).await?;
            writeln!(out, "account {} was added", options.name)?;
        }
        Account::Password(account) => {
            let hash = hashed(&password::ask()?)?;
            store.set_password(&account.name, &hash).await?;
            writeln!(out, "account {} has a new password; its sessions have ended", account.name)?;
        }
        Account::List => listed(&store.accounts().await?, out)?,
        Account::Disable(account) => {
            store.disable_account(&account.name, Moment::now()).await?;
            writeln!(out, "account {} is let in no more", account.name)?;
        }
    }
    Ok(())
}

fn hashed(password: &Zeroizing<String>) -> Result<String, Failure> {
    hash(password).map_err(|error| Failure::new(Exit::Config, error))
}

fn listed(accounts: &[store::Account], out: &mut impl Write) -> Result<(), Failure> {
    if accounts.is_empty() {
        writeln!(out, "no accounts; add one: cprvagt-collector account add NAME")?;
        return Ok(());
    }
    let mut table = Table::new(["name", "role", "made", ""]);
    for account in accounts {
        let state = account.disabled_at.map_or("", |_| "disabled");
        let made = format!("{:.0}", account.made_at.0);
        table.row([account.name.clone(), account.role.as_str().to_owned(), made, state.to_owned()]);
    }
    table.write(out)?;
    Ok(())
}

impl From<cli::Role> for Role {
    fn from(role: cli::Role) -> Self {
        match role {
            cli::Role::Analyst => Self::Analyst,
            cli::Role::Admin => Self::Admin,
        }
    }
}
