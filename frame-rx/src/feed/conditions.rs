//! How it stands with the guest, on its way from the feed to the screen: the newest only, and nobody waits.

use crate::state::Condition;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Where conditions come out: the newest only.
#[derive(Clone, Debug)]
pub struct Conditions(Receiver<Condition>);

/// Where the feed puts them in.
#[derive(Debug)]
pub struct ConditionsIn {
    newest: Sender<Condition>,
    withdraw: Receiver<Condition>,
}

/// Both ends of the way on which conditions travel.
pub fn conditions() -> (ConditionsIn, Conditions) {
    let (newest, out) = bounded(1);
    (ConditionsIn { newest, withdraw: out.clone() }, Conditions(out))
}

impl ConditionsIn {
    pub(super) fn set(&self, condition: Condition) {
        let mut newest = condition;
        while let Err(TrySendError::Full(back)) = self.newest.try_send(newest) {
            newest = back;
            let _replaced = self.withdraw.try_recv();
        }
    }
}

impl Conditions {
    /// The newest condition, if it was not taken yet.
    pub fn take(&self) -> Option<Condition> {
        self.0.try_recv().ok()
    }
}
