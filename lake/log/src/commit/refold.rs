//! Rule 9: a node whose log hash differs from a writer's folds again from the checkpoint before, and stops if it is the odd one.

use super::fold::Fold;
use super::open;
use super::replica::{Replica, SlotRead};
use crate::error::{Error, Result};
use crate::format::commit::Commit;
use crate::id::Slot;

impl Replica {
    /// The fold of a commit diverged. If folding again agrees with the writer, this node's memory was wrong, and the new fold takes
    /// its place; if not, the error stands and the node stops.
    pub(super) async fn judge_divergence(&self, commit: &Commit, error: Error) -> Result<()> {
        let (slot, theirs) = commit.header.folded;
        tracing::error!(database = %self.database(), slot, %error, "the fold differs from a writer's: folding again");
        let Some(fold) = self.fold_again(slot, commit.header.slot).await? else { return Err(error) };
        match fold.hash_at(slot) {
            Some(again) if again == theirs => {
                *self.fold_mut() = fold;
                tracing::error!(
                    database = %self.database(), slot,
                    "folding again agrees with the writer: this machine's memory was wrong; going on, but look at its memory (ECC)"
                );
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Folds from the newest checkpoint below `slot` up to `end`, if the slots are there.
    async fn fold_again(&self, slot: Slot, end: Slot) -> Result<Option<Fold>> {
        let rules = &self.protocol().fold;
        let checkpoints = open::checkpoints(self.store(), self.database(), 1_000).await?;
        let before = checkpoints.into_iter().map(|(slot, _)| slot).find(|covered| *covered < slot);
        let begun = match before {
            Some(before) => open::read_checkpoint(self.store(), self.database(), before, rules).await?,
            None => open::begin(self.store(), self.database(), rules).await?,
        };
        let Some(mut fold) = begun else { return Ok(None) };
        while fold.state.next() < end {
            let SlotRead::Present(commit) = self.read_slot(fold.state.next()).await? else { return Ok(None) };
            fold.absorb_unchecked(&commit)?;
        }
        Ok(Some(fold))
    }
}
