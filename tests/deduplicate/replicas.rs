//! What replicas tell each other: each has a disk, a key and a spool of its own.

use std::sync::Arc;

use millrace::{
    deliver::deduplicate::{
        Claim, Claims, Deduplicator, Identity, Notice, Scope, Settings, Sharing,
    },
    observe::metrics::Metrics,
    source::{SourceName, UnixMillis},
};
use uuid::Uuid;

use crate::{SETTINGS, START, at, claim, deliver, directory, disk_with_seed, is_granted, settle};

const TOPICS: [&str; 2] = ["marketo.{stream}.{type}", "marketo.dead-letter"];
/// Room for more digests than any test settles at once.
const MOST: usize = 100_000;

struct Replica {
    leads: Claims,
    sharing: Arc<Sharing>,
    metrics: Metrics,
}

impl Replica {
    fn new(number: u64) -> Self {
        Self::with(number, SETTINGS, &TOPICS, MOST)
    }

    fn with(number: u64, settings: Settings, topics: &[&str], most: usize) -> Self {
        let metrics = Metrics::new();
        let leads = SourceName::new("leads").unwrap();
        let disk = Arc::new(disk_with_seed(number));
        let names = [leads.clone()];
        let all = Deduplicator::open(disk, &directory(), settings, &names, &metrics);
        let sharing = Sharing::new(&all, "ids", Scope::of(topics), most, &metrics);
        let leads = all.claims(&leads).watching_owners();
        let leads = leads.telling(&sharing, Uuid::from_u128(u128::from(number)));
        Self { leads, sharing, metrics }
    }

    /// What it tells now.
    fn told(&self) -> Vec<Notice> {
        std::iter::from_fn(|| self.sharing.take_next()).collect()
    }

    fn hears(&self, notices: &[Notice], now: UnixMillis) {
        notices.iter().for_each(|notice| self.sharing.take_in(&notice.value, now));
    }

    fn passed_by(&self, why: &str) -> u64 {
        self.metrics.shared_ids_passed_by.with_label_values(&[why]).get()
    }
}

fn two() -> [Replica; 2] {
    [Replica::new(1), Replica::new(2)]
}

#[track_caller]
fn granted(claims: &mut Claims, id: &str, sequence: u64) -> Option<Identity> {
    let Claim::Granted(identity) = claim(claims, id, sequence, START) else { panic!("{id}") };
    identity
}

#[test]
fn what_one_replica_has_settled_another_one_passes_over() {
    let [mut one, mut two] = two();
    deliver(&mut one.leads, "a", 1, START);
    let told = one.told();
    assert_eq!(told.iter().map(|notice| notice.ids).collect::<Vec<_>>(), [1]);
    assert_eq!(told[0].key, Uuid::from_u128(1).to_string());
    assert!(one.told().is_empty(), "once");

    assert!(is_granted(&mut two.leads, "b", 1, START));
    two.hears(&told, START);
    assert!(claim(&mut two.leads, "a", 2, START).is_repeat());
    let duplicates = &two.metrics.duplicates;
    assert_eq!(duplicates.with_label_values(&["leads", "another replica"]).get(), 1);
    assert_eq!(two.leads.settled_end(9), 9, "what it rests on is settled");
    assert_eq!(two.metrics.shared_ids_read.get(), 1);
    two.leads.save(START);
    assert!(two.told().is_empty(), "it has settled nothing");
}

#[test]
fn nothing_is_told_before_it_is_settled() {
    let [mut one, _] = two();
    let identity = granted(&mut one.leads, "a", 1);
    one.leads.save(START);
    assert!(one.told().is_empty());
    one.leads.settled(identity);
    one.leads.save(START);
    assert_eq!(one.told().len(), 1);
}

#[test]
fn what_is_in_quarantine_is_told_to_none_and_known_here() {
    let [mut one, two] = two();
    let identity = granted(&mut one.leads, "a", 1).map(Identity::of_this_volume);
    one.leads.settled(identity);
    one.leads.save(START);
    assert!(one.told().is_empty());
    assert!(claim(&mut one.leads, "a", 2, START).is_repeat());
    drop(two);
}

#[test]
fn what_a_replica_has_told_itself_is_no_news_to_it() {
    let [mut one, _] = two();
    deliver(&mut one.leads, "a", 1, START);
    let told = one.told();
    one.hears(&told, START);
    assert_eq!(one.metrics.shared_ids_read.get(), 0);
    assert_eq!(one.metrics.deduplicate_ids.get(), 1);
    assert!(matches!(claim(&mut one.leads, "a", 1, START), Claim::Granted(_)), "its own event");
}

#[test]
fn an_event_that_is_on_its_way_here_stays_this_replicas_to_settle() {
    let [mut one, mut two] = two();
    assert!(is_granted(&mut two.leads, "a", 7, START));
    deliver(&mut one.leads, "a", 1, START);
    two.hears(&one.told(), START);
    assert!(is_granted(&mut two.leads, "a", 7, START), "a lane comes to it once more");
    assert!(claim(&mut two.leads, "a", 8, START).is_repeat());
    two.leads.release(7..8, START);
    assert!(claim(&mut two.leads, "a", 9, START).is_repeat(), "settled by the other one");
}

#[test]
fn what_was_taken_back_with_its_transaction_is_told_to_none() {
    let [mut one, _] = two();
    settle(&mut one.leads, "a", 1, START);
    one.leads.forget_unsaved();
    one.leads.save(START);
    assert!(one.told().is_empty());
}

#[test]
fn what_is_for_other_topics_or_can_not_be_read_is_passed_by() {
    let [mut one, mut two] = two();
    let mut elsewhere =
        Replica::with(3, SETTINGS, &["other.{stream}", "marketo.dead-letter"], MOST);
    deliver(&mut elsewhere.leads, "a", 1, START);
    two.hears(&elsewhere.told(), START);
    assert!(is_granted(&mut two.leads, "a", 1, START));

    deliver(&mut one.leads, "b", 1, START);
    let mut told = one.told();
    let place = told[0].value.len() - 1;
    told[0].value[place] ^= 1;
    two.hears(&told, START);
    two.sharing.take_in(b"", START);
    assert!(is_granted(&mut two.leads, "b", 2, START));
    let passed_by = ["other-topics", "damaged", "version"].map(|why| two.passed_by(why));
    assert_eq!(passed_by, [1, 2, 0]);
}

#[test]
fn however_much_others_tell_a_source_keeps_its_share_of_the_memory() {
    let mut one = Replica::with(1, Settings { ids: 100_000, ..SETTINGS }, &TOPICS, MOST);
    let mut two = Replica::new(2);
    let half = SETTINGS.ids as u64 / 2;
    for number in 0..half {
        deliver(&mut two.leads, &format!("own-{number}"), number + 1, START);
    }
    for number in 0..20_000 {
        settle(&mut one.leads, &format!("other-{number}"), number + 1, START);
    }
    one.leads.save(START);
    two.hears(&one.told(), START);
    for number in 0..half {
        assert!(claim(&mut two.leads, &format!("own-{number}"), 9_000, START).is_repeat());
    }
    assert!(claim(&mut two.leads, "other-19999", 9_001, START).is_repeat(), "the newest of them");
    assert!(is_granted(&mut two.leads, "other-0", 9_002, START));
}

#[test]
fn a_notice_has_no_more_than_a_record_may_and_the_oldest_that_wait_give_way() {
    let settings = Settings { ids: 1_000_000, ..SETTINGS };
    let mut one = Replica::with(1, settings, &TOPICS, 4_000);
    for number in 0..1_000 {
        settle(&mut one.leads, &format!("{number}"), number + 1, START);
    }
    one.leads.save(START);
    let told = one.told();
    assert!(told.len() > 1 && told.iter().all(|notice| notice.value.len() <= 4_000));
    assert_eq!(told.iter().map(|notice| notice.ids).sum::<usize>(), 1_000);

    for number in 0..400_000_u64 {
        settle(&mut one.leads, &format!("more-{number}"), number + 2_000, START);
        if number % 1_000 == 999 {
            one.leads.save(START);
        }
    }
    let left: usize = one.told().iter().map(|notice| notice.ids).sum();
    assert!(left > 200_000, "{left}");
    assert_eq!(one.metrics.shared_ids_unsent.get(), 400_000 - left as u64);
}

#[test]
fn what_another_replica_has_settled_is_known_for_the_window() {
    let [mut one, mut two] = two();
    deliver(&mut one.leads, "a", 1, START);
    two.hears(&one.told(), START);
    let window = SETTINGS.window.as_millis() as u64;
    assert!(claim(&mut two.leads, "a", 1, START + window).is_repeat());
    assert!(is_granted(&mut two.leads, "a", 2, START + 2 * window));
    assert_eq!(at(2).sequence, 2);
}
