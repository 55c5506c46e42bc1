//! What goes wrong, and when: decided by a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Kills in a round, one of which falls on every fault.
pub const KILLS_A_ROUND: usize = 10;

/// After a fault, the time in which a kill still counts to it: the job recovers then.
const RECOVERY: Duration = Duration::from_secs(2);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The broker gets SIGKILL, and is started again.
    BrokerKilled,
    /// The broker gets SIGTERM, and is started again.
    BrokerStopped,
    /// The Qdrant server gets SIGKILL, and is started again.
    QdrantKilled,
    /// Connections to the broker are reset, and so is every new one.
    BrokerCutOff,
    /// Connections to Qdrant are reset, and so is every new one.
    QdrantCutOff,
    /// Nothing passes any more, to the broker or to Qdrant, and nobody is told.
    NothingPasses,
    /// Both connections are slow.
    Slow,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::BrokerKilled,
        Self::BrokerStopped,
        Self::QdrantKilled,
        Self::BrokerCutOff,
        Self::QdrantCutOff,
        Self::NothingPasses,
        Self::Slow,
    ];

    /// How long it lasts; for a server, how long it is away before it is started again.
    pub fn lasts(self) -> Duration {
        Duration::from_secs(match self {
            Self::BrokerKilled | Self::BrokerStopped | Self::QdrantKilled => 10,
            Self::BrokerCutOff | Self::QdrantCutOff => 4,
            Self::NothingPasses => 6,
            Self::Slow => 8,
        })
    }
}

/// A fault after a calm, and the kills of the job around it.
#[derive(Debug)]
pub struct Act {
    pub fault: Fault,
    /// What passes before it.
    pub calm: Duration,
    /// When the job is killed, from the beginning of the calm, in order.
    pub kills: Vec<Duration>,
}

impl Act {
    /// From the beginning of the calm to the end of the fault.
    pub fn lasts(&self) -> Duration {
        self.calm + self.fault.lasts()
    }
}

/// Rounds of all faults in any order, with `kills` kills at random moments, of which every act of a full round has at
/// least one.
pub fn acts(seed: u64, kills: usize) -> Vec<Act> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut acts = Vec::new();
    for round in 0..kills.div_ceil(KILLS_A_ROUND).max(1) {
        let mut faults = Fault::ALL;
        faults.shuffle(&mut random);
        let mut left = kills.saturating_sub(round * KILLS_A_ROUND).min(KILLS_A_ROUND);
        let first = acts.len();
        for fault in faults {
            let calm = random.random_range(Duration::from_secs(1)..Duration::from_secs(3));
            let mut act = Act {
                fault,
                calm,
                kills: Vec::new(),
            };
            if left > 0 {
                act.kills.push(moment(&mut random, &act));
                left -= 1;
            }
            acts.push(act);
        }
        for _ in 0..left {
            let act = random.random_range(first..acts.len());
            let moment = moment(&mut random, &acts[act]);
            acts[act].kills.push(moment);
        }
    }
    for act in &mut acts {
        act.kills.sort();
    }
    acts
}

fn moment(random: &mut StdRng, act: &Act) -> Duration {
    random.random_range(Duration::ZERO..act.lasts() + RECOVERY)
}
