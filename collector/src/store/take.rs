//! Taking in what agents report: one transaction for many reports, receipts first, answers after the commit.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashSet};

use cprvagt_report::{AgentId, Moment, ReceiptOutcome};
use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

use super::bulk::{self, Statement};
use super::column::{Columns, integer, micros};
use super::event::Change;
use super::fold::{self, Fold};
use super::known::Known;
use super::{Store, StoreError, Writer, agents, bounds, effects, gaps, outbox, traces};
use crate::occurrence::Opened;

/// One report that came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who sent it: whom the client certificate names.
    pub agent: AgentId,
    /// The spool's epoch.
    pub epoch: Uuid,
    /// Its number in that epoch.
    pub sequence: u64,
    /// What it holds.
    pub content: Content,
}

/// What a report holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// It was opened.
    Report(Box<Opened>),
    /// It cannot be read: kept as it came, for a person to look at.
    SetAside {
        /// Why, in words without content.
        reason: String,
        /// The bytes.
        sealed: Vec<u8>,
    },
}

/// What became of the reports of one call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Taken {
    /// For each arrival, in order.
    pub outcomes: Vec<ReceiptOutcome>,
    /// New occurrences.
    pub occurrences: u64,
    /// Leaks that were counted before, under another receipt.
    pub occurrences_again: u64,
    /// New incidents.
    pub incidents_created: u64,
    /// New gap records.
    pub gaps: u64,
    /// Texts that had to be scrubbed again, see [`Opened::rescrubbed`].
    pub rescrubbed: u64,
    /// Reports set aside that went because the agent has too many, see [`super::SET_ASIDE_MAX`].
    pub set_aside_dropped: u64,
    /// Ledgers that went for the same reason, see [`super::LEDGERS_MAX`].
    pub ledgers_dropped: u64,
    /// Traces that were folded because their incident has too many, see [`super::TRACES_MAX`].
    pub traces_folded: u64,
}

impl Store {
    /// Takes in all `arrivals`, or none: receipts, occurrences, incidents and what is to be told of them. What
    /// has its receipt already has no effect.
    ///
    /// # Errors
    /// The disk is full, the database is locked, or the database fails; nothing was done then.
    pub async fn take(&self, arrivals: &[impl Borrow<Arrival> + Sync]) -> Result<Taken, StoreError> {
        let arrivals: Vec<&Arrival> = arrivals.iter().map(Borrow::borrow).collect();
        let now = Moment::now();
        let mut writer = self.writer().await;
        let Writer { connection, known } = &mut *writer;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let is_new = receipts(&mut transaction, &arrivals, now).await?;
        let fresh: Vec<&Arrival> =
            arrivals.iter().copied().zip(&is_new).filter(|it| *it.1).map(|it| it.0).collect();
        let mut taken = Taken { outcomes: outcomes(&arrivals, &is_new), ..Taken::default() };
        set_aside(&mut transaction, &fresh, now).await?;
        gaps_and_ledgers(&mut transaction, &fresh, &mut taken).await?;
        trim(&mut transaction, &fresh, &mut taken).await?;
        let learnt = occurrences(&mut transaction, &fresh, known, now, &mut taken).await?;
        transaction.commit().await?;
        known.incidents.remember(learnt.incidents);
        known.traces.remember(learnt.traces);
        Ok(taken)
    }
}

fn outcomes(arrivals: &[&Arrival], is_new: &[bool]) -> Vec<ReceiptOutcome> {
    let outcome = |(arrival, is_new): (&&Arrival, &bool)| match arrival.content {
        _ if !is_new => ReceiptOutcome::Duplicate,
        Content::Report(_) => ReceiptOutcome::Stored,
        Content::SetAside { .. } => ReceiptOutcome::SetAside,
    };
    arrivals.iter().zip(is_new).map(outcome).collect()
}

/// Writes receipts; says for each arrival whether it is the first with its number.
async fn receipts(
    connection: &mut SqliteConnection,
    arrivals: &[&Arrival],
    now: Moment,
) -> Result<Vec<bool>, StoreError> {
    let statement = Statement {
        head: "INSERT INTO receipts (agent, epoch, sequence, received_at) VALUES ",
        width: 4,
        tail: " ON CONFLICT DO NOTHING RETURNING agent, epoch, sequence",
    };
    let rows = bulk::run(connection, &statement, arrivals, |query, arrival| {
        let query = query.bind(agents::key(arrival.agent)).bind(arrival.epoch.as_bytes().to_vec());
        query.bind(integer(arrival.sequence)).bind(micros(now))
    });
    let mut written = HashSet::new();
    for row in &rows.await? {
        let row = Columns(row);
        let number: i64 = row.get("sequence")?;
        written.insert((row.bytes::<16>("agent")?, row.bytes::<16>("epoch")?, number));
    }
    let mut is_new = |it: &&Arrival| {
        written.remove(&(it.agent.0.into_bytes(), it.epoch.into_bytes(), integer(it.sequence)))
    };
    Ok(arrivals.iter().map(&mut is_new).collect())
}

async fn set_aside(
    connection: &mut SqliteConnection,
    arrivals: &[&Arrival],
    now: Moment,
) -> Result<(), StoreError> {
    for arrival in arrivals {
        if let Content::SetAside { reason, sealed } = &arrival.content {
            let query = sqlx::query(
                "INSERT INTO set_aside (agent, epoch, sequence, reason, received_at, sealed) \
                 VALUES (?, ?, ?, ?, ?, ?)",
            );
            let query = query.bind(agents::key(arrival.agent)).bind(arrival.epoch.as_bytes().to_vec());
            let query = query.bind(integer(arrival.sequence)).bind(reason).bind(micros(now)).bind(sealed);
            query.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

async fn gaps_and_ledgers(
    connection: &mut SqliteConnection,
    arrivals: &[&Arrival],
    taken: &mut Taken,
) -> Result<(), StoreError> {
    for arrival in arrivals {
        let Content::Report(opened) = &arrival.content else { continue };
        taken.rescrubbed += opened.rescrubbed;
        taken.gaps += opened.gaps.len() as u64;
        for (entry, gap) in &opened.gaps {
            gaps::add(connection, arrival, opened, *entry, gap).await?;
        }
        for ledger in &opened.ledgers {
            gaps::add_ledger(connection, arrival.agent, opened.host.as_str(), ledger).await?;
        }
    }
    Ok(())
}

/// Holds each agent to what it may fill.
async fn trim(
    connection: &mut SqliteConnection,
    arrivals: &[&Arrival],
    taken: &mut Taken,
) -> Result<(), StoreError> {
    let (mut set_aside, mut ledgers) = (BTreeSet::new(), BTreeSet::new());
    for arrival in arrivals {
        match &arrival.content {
            Content::SetAside { .. } => set_aside.insert(arrival.agent),
            Content::Report(opened) => !opened.ledgers.is_empty() && ledgers.insert(arrival.agent),
        };
    }
    for agent in set_aside {
        taken.set_aside_dropped += bounds::trim(connection, bounds::SET_ASIDE, agent).await?;
    }
    for agent in ledgers {
        taken.ledgers_dropped += bounds::trim(connection, bounds::LEDGERS, agent).await?;
    }
    Ok(())
}

/// Keys of rows that are there once the transaction is committed.
#[derive(Default)]
struct Learnt {
    incidents: Vec<([u8; 16], i64)>,
    traces: Vec<([u8; 16], i64)>,
}

async fn occurrences(
    connection: &mut SqliteConnection,
    arrivals: &[&Arrival],
    known: &Known,
    now: Moment,
    taken: &mut Taken,
) -> Result<Learnt, StoreError> {
    let all = || {
        arrivals.iter().flat_map(|arrival| match &arrival.content {
            Content::Report(opened) => opened.occurrences.as_slice(),
            Content::SetAside { .. } => &[],
        })
    };
    let before = effects::leaks_before(connection, all()).await?;
    let fold = Fold::of(fold::fresh(all(), &before));
    taken.occurrences = fold.rows.len() as u64;
    taken.occurrences_again = (all().count() - fold.rows.len()) as u64;
    let incidents = effects::incident_keys(connection, &fold, &known.incidents, now).await?;
    let (traces, folded) = traces::keys(connection, &fold, &incidents.keys, &known.traces).await?;
    taken.traces_folded = folded;
    effects::write(connection, &fold, &incidents.keys, &traces.keys, now).await?;
    for key in &incidents.created {
        outbox::tell(connection, *key, Change::Created, now).await?;
    }
    taken.incidents_created = incidents.created.len() as u64;
    Ok(Learnt { incidents: incidents.learnt, traces: traces.learnt })
}
