//! The budget, given out: what each part of a process holds its memory by.

use frazil_gateway::consume::kept::KeptPages;
use frazil_gateway::consume::tail::{TailMetrics, TailRing};
use frazil_gateway::memory::{Ledger, Share};
use frazil_log::commit::index::PageCache;
use prometheus_client::registry::Registry;

use super::budget::Budget;

/// The budget, given out.
pub struct Shares {
    pub buffer: Share,
    pub bodies: Share,
    pub reads: Share,
    pub tail: TailRing,
    tail_bytes_max: usize,
    pub follows: KeptPages,
    pub pages: PageCache,
    pages_bytes_max: usize,
}

impl Shares {
    /// Makes the shares, and tells of them: in the log, and in the metrics.
    pub fn give_out(budget: &Budget, registry: &mut Registry) -> anyhow::Result<(Self, Ledger)> {
        let tail_metrics = TailMetrics::default();
        tail_metrics.register(registry);
        let shares = Self::new(budget, tail_metrics)?;
        let ledger = shares.ledger();
        ledger.register(registry);
        tracing::info!(memory = budget.memory, shares = budget.words(), "memory is split");
        Ok((shares, ledger))
    }

    fn new(budget: &Budget, tail_metrics: TailMetrics) -> anyhow::Result<Self> {
        let (tail_bytes_max, pages_bytes_max) =
            (usize::try_from(budget.tail)?, usize::try_from(budget.pages)?);
        Ok(Self {
            buffer: Share::new(usize::try_from(budget.buffer)?),
            bodies: Share::new(usize::try_from(budget.bodies)?),
            reads: Share::new(usize::try_from(budget.reads)?),
            tail: TailRing::new(tail_bytes_max, tail_metrics),
            tail_bytes_max,
            follows: KeptPages::new(usize::try_from(budget.follows)?),
            pages: PageCache::new(pages_bytes_max),
            pages_bytes_max,
        })
    }

    fn ledger(&self) -> Ledger {
        let (buffer, bodies, reads) = (self.buffer.clone(), self.bodies.clone(), self.reads.clone());
        let (tail, follows, pages) = (self.tail.clone(), self.follows.clone(), self.pages.clone());
        Ledger::default()
            .with("buffer", buffer.bytes_max(), move || buffer.used())
            .with("bodies", bodies.bytes_max(), move || bodies.used())
            .with("tail", self.tail_bytes_max, move || tail.bytes())
            .with("reads", reads.bytes_max(), move || reads.used())
            .with("follows", follows.bytes_max(), move || follows.bytes())
            .with("pages", self.pages_bytes_max, move || pages.bytes())
    }
}
