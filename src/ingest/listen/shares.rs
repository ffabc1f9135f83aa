//! The division of a pool between the parties that take from it.
//!
//! Each configured source has a guaranteed share that no other party can take. Beyond the guarantees
//! there is a common part, first come, first served. A [`Ledger`] does the arithmetic, in constant time;
//! `budget.rs` (bytes of bodies) and `connection_limit.rs` decide which body or connection gives way.

/// A party that takes from a pool: a configured source, or all strangers, whose deliveries are not yet checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party(usize);

impl Party {
    pub const STRANGERS: Self = Self(0);

    /// Returns the party of the configured source with this number, from 0.
    pub fn source(number: usize) -> Self {
        Self(number + 1)
    }

    pub(super) fn index(self) -> usize {
        self.0
    }
}

/// Use and limits of one party.
#[derive(Clone, Copy, Debug)]
struct Account {
    guaranteed: u64,
    /// Limit of its use of the common part.
    of_common: u64,
    used: u64,
}

impl Account {
    fn beyond(&self) -> u64 {
        self.used.saturating_sub(self.guaranteed)
    }
}

/// Use of one pool, by party.
pub(super) struct Ledger {
    accounts: Vec<Account>,
    common: u64,
    common_used: u64,
}

impl Ledger {
    /// Makes a pool in which `strangers` and `each_source` are guaranteed, and `common` is for all; strangers take at
    /// most `strangers_of_common` of it.
    pub fn new(
        sources: usize,
        strangers: u64,
        each_source: u64,
        common: u64,
        strangers_of_common: u64,
    ) -> Self {
        let account = |guaranteed, of_common| Account { guaranteed, of_common, used: 0 };
        let mut accounts = vec![account(each_source, common); sources + 1];
        accounts[0] = account(strangers, strangers_of_common);
        Self { accounts, common, common_used: 0 }
    }

    pub fn parties(&self) -> impl Iterator<Item = Party> + use<> {
        (0..self.accounts.len()).map(Party)
    }

    /// Returns how much of the common part `party` uses.
    pub fn beyond(&self, party: Party) -> u64 {
        self.accounts[party.0].beyond()
    }

    /// Returns how much is left of the guarantee of `party`.
    pub fn guaranteed(&self, party: Party) -> u64 {
        let account = &self.accounts[party.0];
        account.guaranteed.saturating_sub(account.used)
    }

    /// Returns how much `party` could take now.
    pub fn free(&self, party: Party) -> u64 {
        let account = &self.accounts[party.0];
        let common = self.common.saturating_sub(self.common_used);
        self.guaranteed(party) + common.min(account.of_common.saturating_sub(account.beyond()))
    }

    /// Returns how much `party` could have if no other party had anything.
    pub fn most(&self, party: Party) -> u64 {
        let account = &self.accounts[party.0];
        account.guaranteed + account.of_common
    }

    /// Takes all of `amount`, or nothing.
    pub fn take(&mut self, party: Party, amount: u64) -> bool {
        let fits = amount <= self.free(party);
        if fits {
            self.set(party, self.accounts[party.0].used + amount);
        }
        fits
    }

    pub fn give_back(&mut self, party: Party, amount: u64) {
        self.set(party, self.accounts[party.0].used.saturating_sub(amount));
    }

    fn set(&mut self, party: Party, used: u64) {
        let account = &mut self.accounts[party.0];
        let before = account.beyond();
        account.used = used;
        self.common_used = self.common_used + account.beyond() - before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_party_takes_the_guarantee_of_another() {
        let mut ledger = Ledger::new(2, 10, 10, 20, 5);
        let strangers = Party::STRANGERS;
        let one = Party::source(0);
        let two = Party::source(1);
        assert!(!ledger.take(one, 31));
        assert!(ledger.take(one, 30));
        assert_eq!(ledger.free(two), 10);
        assert!(!ledger.take(two, 11) && ledger.take(two, 10));
        assert!(!ledger.take(strangers, 11) && ledger.take(strangers, 10));
        ledger.give_back(one, 15);
        assert_eq!([strangers, one, two].map(|party| ledger.beyond(party)), [0, 5, 0]);
        assert_eq!(ledger.free(strangers), 5, "strangers do not get the last of the common part");
        assert_eq!(ledger.free(two), 15);
    }

    #[test]
    fn everything_that_was_taken_can_be_taken_again() {
        let mut ledger = Ledger::new(1, 3, 4, 8, 8);
        let strangers = Party::STRANGERS;
        let source = Party::source(0);
        for _ in 0..3 {
            assert!(ledger.take(strangers, 7) && ledger.take(source, 8));
            assert_eq!((ledger.free(source), ledger.free(strangers)), (0, 0));
            ledger.give_back(source, 8);
            ledger.give_back(strangers, 7);
        }
        assert_eq!(ledger.free(source), ledger.most(source));
    }
}
