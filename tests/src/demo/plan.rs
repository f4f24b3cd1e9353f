//! Who leaks what to whom: the ground truth, laid out in waves before anything is sent.
//!
//! *Invariants*: each (citizen, recipient, part) is planted once.  The planted of wave n stand before
//! those of wave n + 1, so that a run cut short knows its own truth.

use std::collections::BTreeMap;
use std::time::SystemTime;

use cprvagt_cpr::Number;
use cprvagt_cpr::citizens::Citizens;

use crate::demo::lookalike::Draw;
use crate::demo::message::{Part, message};
use crate::demo::{TARGETS, Target};
use crate::lab::Service;
use crate::program::{Job, Program};

/// Look-alike messages in a whole plan, at least.
pub const LOOK_ALIKES_MIN: usize = 10_000;
/// The same in a guest of `cargo xtask vm`, which would be busy with them for minutes.
pub const LOOK_ALIKES_IN_GUEST: usize = 200;
/// Connections that a program opens at once, where it can.
pub const CONNECTIONS: usize = 8;

const CITIZENS: usize = 60;
const WAVES: usize = 10;
/// Citizens for each recipient and part: one for each program.
const PER_PART: usize = Program::ALL.len();
/// Messages to the allowed recipient that carry a number.
const ALLOWED: usize = 3 * Part::ALL.len();

/// One number that must be found once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planted {
    /// Index into the plan's citizens.
    pub citizen: usize,
    /// Who receives it.
    pub host: &'static str,
    /// Where in the message.
    pub part: Part,
    /// Who sends it.
    pub program: Program,
    /// Whether it goes over TLS.
    pub encrypted: bool,
}

/// What runs side by side.
#[derive(Clone, Debug, Default)]
pub struct Wave {
    /// Each is one process. `openssl s_client` has one for each message.
    pub batches: Vec<(Program, Vec<Job>)>,
    /// How many of the plan's planted numbers this wave carries.
    pub planted: usize,
}

impl Wave {
    /// How many messages it sends.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.batches.iter().map(|(_, jobs)| jobs.len()).sum()
    }
}

/// The whole of it.
#[derive(Debug)]
pub struct Plan {
    /// Ten digits each.
    pub citizens: Vec<String>,
    /// Ground truth, wave by wave.
    pub planted: Vec<Planted>,
    /// What is sent.
    pub waves: Vec<Wave>,
    programs: Vec<Program>,
    seed: u64,
    look_alikes: usize,
}

impl Plan {
    /// The plan that follows from `seed` with the programs this machine has.
    #[must_use]
    pub fn new(seed: u64, programs: &[Program]) -> Self {
        Self::with_look_alikes(LOOK_ALIKES_MIN, seed, programs)
    }

    /// The same with this many look-alike messages, at least.
    #[must_use]
    pub fn with_look_alikes(look_alikes: usize, seed: u64, programs: &[Program]) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let citizens = Citizens::new(seed).take(CITIZENS).map(|number| digits(&number)).collect();
        let mut planted = plant(programs);
        random.shuffle(&mut planted);
        let programs = programs.to_vec();
        let mut plan = Self { citizens, planted, waves: Vec::new(), programs, seed, look_alikes };
        plan.waves = (0..WAVES).map(|number| plan.wave(number)).collect();
        plan
    }

    /// A further wave, of look-alikes alone.
    #[must_use]
    pub fn look_alikes_only(&self, number: usize) -> Wave {
        self.batch_up(self.look_alikes(number), 0, number)
    }

    fn wave(&self, number: usize) -> Wave {
        let share = |count: usize| (count * number / WAVES)..(count * (number + 1) / WAVES);
        let planted = &self.planted[share(self.planted.len())];
        let mut jobs = self.look_alikes(number);
        for (variant, leak) in planted.iter().enumerate() {
            let job = message(
                &origin(target(leak.host)),
                leak.part,
                &self.citizens[leak.citizen],
                variant + number,
            );
            jobs.push((leak.program, job));
        }
        jobs.extend(share(ALLOWED).map(|index| self.allowed(index)));
        self.batch_up(jobs, planted.len(), number)
    }

    /// A message with a number in it that may be sent.
    fn allowed(&self, index: usize) -> (Program, Job) {
        let allowed = TARGETS.iter().find(|target| target.allowed).expect("one is allowed");
        let part = Part::ALL[index % Part::ALL.len()];
        let citizen = &self.citizens[index * 7 % CITIZENS];
        (self.programs[index % self.programs.len()], message(&origin(allowed), part, citizen, index))
    }

    fn look_alikes(&self, number: usize) -> Vec<(Program, Job)> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ (number as u64 + 1) << 32);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut draw = Draw::new(random.fork(), now);
        let many: Vec<Program> =
            self.programs.iter().copied().filter(|program| *program != Program::OpensslSClient).collect();
        let count = self.look_alikes.div_ceil(WAVES);
        let senders = (0..count).map(|index| many[index % many.len()]);
        senders
            .map(|program| (program, draw.message(&origin(&TARGETS[random.usize(0..TARGETS.len())]))))
            .collect()
    }

    fn batch_up(&self, mut jobs: Vec<(Program, Job)>, planted: usize, number: usize) -> Wave {
        fastrand::Rng::with_seed(self.seed + number as u64).shuffle(&mut jobs);
        let mut by_program: BTreeMap<Program, Vec<Job>> = BTreeMap::new();
        for (program, job) in jobs {
            by_program.entry(program).or_default().push(job);
        }
        let single = by_program.remove(&Program::OpensslSClient).unwrap_or_default();
        let mut batches: Vec<_> = by_program.into_iter().collect();
        batches.extend(single.into_iter().map(|job| (Program::OpensslSClient, vec![job])));
        Wave { batches, planted }
    }
}

/// Every recipient that is not allowed gets every part from every program: overlapping sets of citizens.
fn plant(programs: &[Program]) -> Vec<Planted> {
    let mut planted = Vec::new();
    for (at, target) in TARGETS.iter().enumerate().filter(|(_, target)| !target.allowed) {
        let encrypted = target.service == Service::Https;
        let able: Vec<Program> =
            programs.iter().copied().filter(|program| encrypted || program.sends_plain()).collect();
        for (nth, part) in Part::ALL.into_iter().enumerate() {
            for k in 0..PER_PART {
                let citizen = (at * 11 + nth * 5 + k * 7) % CITIZENS;
                let program = able[k % able.len()];
                planted.push(Planted { citizen, host: target.host, part, program, encrypted });
            }
        }
    }
    planted
}

fn digits(number: &Number) -> String {
    number.digits().iter().copied().map(char::from).collect()
}

fn target(host: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.host == host).expect("a planted host is a target")
}

fn origin(target: &Target) -> String {
    let scheme = if target.service == Service::Https { "https" } else { "http" };
    format!("{scheme}://{}", target.host)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_is_planted_once_and_the_waves_carry_all() {
        let plan = Plan::new(1, &Program::ALL);
        let triples: BTreeSet<_> = plan.planted.iter().map(|p| (p.citizen, p.host, p.part)).collect();
        assert_eq!(triples.len(), plan.planted.len());
        assert_eq!(plan.waves.iter().map(|wave| wave.planted).sum::<usize>(), plan.planted.len());
        let messages: usize = plan.waves.iter().map(Wave::messages).sum();
        assert_eq!(messages, LOOK_ALIKES_MIN + plan.planted.len() + ALLOWED);
    }

    #[test]
    fn recipients_share_citizens_but_not_all() {
        let plan = Plan::new(1, &Program::ALL);
        let of = |host: &str| -> BTreeSet<usize> {
            plan.planted.iter().filter(|p| p.host == host).map(|p| p.citizen).collect()
        };
        let (first, second) = (of(TARGETS[0].host), of(TARGETS[1].host));
        assert!(first.intersection(&second).count() > 0);
        assert!(first.difference(&second).count() > 0);
    }

    #[test]
    fn a_machine_without_node_still_has_a_plan() {
        let plan = Plan::new(1, &[Program::Curl, Program::PythonSsl]);
        assert!(
            plan.waves
                .iter()
                .flat_map(|wave| &wave.batches)
                .all(|(program, _)| *program <= Program::PythonSsl)
        );
    }
}
