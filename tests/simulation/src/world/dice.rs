//! Chance, all of it from one seed.

use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of chance. Streams of one seed do not disturb each other.
#[derive(Debug)]
pub(crate) struct Dice {
    rng: Mutex<ChaCha8Rng>,
}

impl Dice {
    /// The stream `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng: Mutex::new(rng) }
    }

    /// Sixty-four bits.
    pub(crate) fn bits(&self) -> u64 {
        self.rng.lock().random()
    }

    /// A number from `from` to below `to`.
    pub(crate) fn range(&self, from: u64, to: u64) -> u64 {
        if from >= to { from } else { self.rng.lock().random_range(from..to) }
    }

    /// An index into something of `len`, which is not zero.
    pub(crate) fn index(&self, len: usize) -> usize {
        self.rng.lock().random_range(0..len.max(1))
    }

    /// Whether something of probability `p` happens.
    pub(crate) fn happens(&self, p: f64) -> bool {
        p > 0.0 && self.rng.lock().random_bool(p.min(1.0))
    }

    /// A number between the two, each order of magnitude as likely as the next.
    pub(crate) fn log_range(&self, from: u64, to: u64) -> u64 {
        let octaves = to.max(1).ilog2().saturating_sub(from.max(1).ilog2());
        let low = from.max(1) << self.range(0, u64::from(octaves) + 1);
        self.range(low, low * 2).clamp(from, to)
    }

    /// About log-normal, in microseconds, around `median_us`.
    pub(crate) fn latency_us(&self, median_us: u64) -> u64 {
        // The sum of four uniforms is close enough to a normal; a quarter octave a step.
        let bell: u64 = (0..4).map(|_| self.range(0, 9)).sum();
        let quarters = i64::try_from(bell).unwrap_or(16) - 16;
        let scaled = if quarters >= 0 { median_us << (quarters / 4) } else { median_us >> (-quarters / 4) };
        scaled + self.range(0, scaled / 4 + 1)
    }

    /// Which of several weights is drawn.
    pub(crate) fn weighted(&self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut at = self.range(0, total.max(1));
        for (index, weight) in weights.iter().enumerate() {
            if at < u64::from(*weight) {
                return index;
            }
            at -= u64::from(*weight);
        }
        0
    }
}
