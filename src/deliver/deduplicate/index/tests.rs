use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const WINDOW: u64 = 100_000;
/// Time beyond the window for which an id may still be known.
const SPAN: u64 = WINDOW / SPANS_PER_WINDOW;

fn id(number: u64) -> Id {
    // Spread as hashes are, and now and then with the same place in the table.
    Id([(number / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15), number])
}

fn owner(source: u32, sequence: u64) -> Owner {
    Owner { source, position: Position::start_of(sequence) }
}

fn index(limit: usize) -> Index {
    index_of(4, limit)
}

fn index_of(sources: usize, limit: usize) -> Index {
    Index::new(limit, Duration::from_millis(WINDOW), sources)
}

#[test]
fn the_first_owns_an_id_and_comes_to_it_again() {
    let mut index = index(10);
    assert_eq!(index.claim(id(1), owner(0, 5), 0), Claimed::First);
    assert_eq!(index.claim(id(1), owner(0, 5), 1), Claimed::Own);
    assert_eq!(index.claim(id(1), owner(0, 9), 2), Claimed::Taken { by: owner(0, 5) });
    assert_eq!(index.claim(id(1), owner(1, 5), 3), Claimed::Taken { by: owner(0, 5) });
    assert_eq!(index.claim(id(2), owner(1, 5), 4), Claimed::First);
    assert_eq!(index.len(), 2);
}

#[test]
fn ids_without_a_type_are_asked_for_as_long_as_one_may_be_known() {
    let mut index = index(10);
    assert!(!index.may_know_without_type(1));
    index.expect_without_type(1000);
    index.claim(id(1), Owner::settled_before(3), 1000);
    let mut at = 1000;
    while index.owner_of(id(1), at).is_some() {
        assert!(index.may_know_without_type(at), "{at}");
        at += 1;
    }
    assert!(at > 1000 + WINDOW);
    assert!(!index.may_know_without_type(at + SPAN), "and not for ever");
    assert_eq!(index.owner_of(id(2), at), None);
}

#[test]
fn what_was_settled_before_the_start_belongs_to_no_event_of_now() {
    let mut index = index(10);
    index.claim(id(1), Owner::settled_before(3), 0);
    assert_eq!(index.claim(id(1), owner(3, 1), 0), Claimed::Taken { by: Owner::settled_before(3) });
}

#[test]
fn the_oldest_id_is_forgotten_for_one_too_many() {
    let mut index = index(3);
    for number in 1..=4 {
        index.claim(id(number), owner(0, number), 0);
    }
    assert_eq!(index.len(), 3);
    assert_eq!(index.claim(id(2), owner(1, 1), 0), Claimed::Taken { by: owner(0, 2) });
    assert_eq!(index.claim(id(1), owner(1, 1), 0), Claimed::First);
}

#[test]
fn an_id_is_known_for_the_window_and_not_much_longer() {
    let mut index = index(10);
    index.claim(id(1), owner(0, 1), 1000);
    index.claim(id(2), owner(0, 2), 1000 + SPAN);
    assert_eq!(index.oldest(), Some(1000));
    let taken = Claimed::Taken { by: owner(0, 1) };
    assert_eq!(index.claim(id(1), owner(1, 1), 1000 + WINDOW), taken);
    assert_eq!(index.claim(id(1), owner(1, 1), 1000 + SPAN + WINDOW + 1), Claimed::First);
    assert_eq!(index.claim(id(2), owner(1, 2), 1000 + SPAN + WINDOW + 1), Claimed::First);
    assert_eq!(index.len(), 2);
}

#[test]
fn a_clock_that_goes_back_forgets_nothing_and_keeps_nothing_for_ever() {
    let mut index = index(10);
    index.claim(id(1), owner(0, 1), 10 * WINDOW);
    assert_eq!(index.claim(id(1), owner(1, 1), 0), Claimed::Taken { by: owner(0, 1) });
    index.claim(id(2), owner(0, 2), 0);
    assert_eq!(index.claim(id(2), owner(1, 2), 12 * WINDOW), Claimed::First);
}

#[test]
fn more_than_a_claim_clears_away_can_expire_at_once() {
    let mut index = index(1000);
    for number in 0..1000 {
        index.claim(id(number), owner(0, number + 1), 0);
    }
    let later = 2 * WINDOW;
    for number in (0..1000).rev() {
        assert_eq!(index.claim(id(number), owner(1, 1), later), Claimed::First, "{number}");
    }
    assert_eq!(index.len(), 1000);
}

#[test]
fn what_is_given_up_is_free_and_the_rest_is_not() {
    let mut index = index(10);
    for sequence in 1..=4 {
        index.claim(id(sequence), owner(0, sequence), 0);
        index.claim(id(10 + sequence), owner(1, sequence), 0);
    }
    index.release(0, &(2..4));
    let mut claim = |number| index.claim(id(number), owner(2, 1), 0);
    assert_eq!([claim(1), claim(4)], [1, 4].map(|at| Claimed::Taken { by: owner(0, at) }));
    assert_eq!([claim(2), claim(3)], [Claimed::First; 2]);
    assert_eq!([claim(12), claim(13)], [2, 3].map(|at| Claimed::Taken { by: owner(1, at) }));
}

#[test]
fn the_memory_of_a_million_ids_is_what_it_says() {
    assert_eq!(size_of::<Entry>(), 32);
    assert_eq!(memory(1_000_000, 0), 42_918_736);
    let index = index_of(4, 1000);
    let taken = index.queues.allocated() + index.table.len() * size_of::<IndexEntry>();
    assert_eq!(taken as u64, memory(1000, 4));
}

#[test]
fn a_source_that_floods_the_index_forgets_its_own_ids_and_no_other_sources() {
    let mut index = index_of(2, 1000);
    let other = |number| id(1_000_000 + number);
    let end = 50_000;
    // The other source has had all, and a flood goes on.
    for number in 0..10_000 {
        index.claim(id(number), owner(0, number + 1), number * 5);
        if (5000..5500).contains(&number) {
            index.claim(other(number), owner(1, number), number * 5);
        }
    }
    for number in 5000..5500 {
        let again = index.claim(other(number), owner(1, 1), end);
        assert_eq!(again, Claimed::Taken { by: owner(1, number) }, "{number}");
    }
    for number in 9500..10_000 {
        let again = index.claim(id(number), owner(1, 1), end);
        assert_eq!(again, Claimed::Taken { by: owner(0, number + 1) }, "{number}");
    }
    assert_eq!(index.len(), 1000);
    let reaches_back = index.oldest().expect("it is full");
    assert!(reaches_back > 9400 * 5, "as far as that of the one that forgets: {reaches_back}");
    assert_eq!(index.claim(id(9499), owner(0, 1), end), Claimed::First, "the oldest of its own");
}

#[test]
fn what_other_sources_do_not_use_is_for_the_one_that_does() {
    let mut index = index_of(3, 300);
    index.claim(id(1), owner(0, 1), 0);
    for number in 2..1000 {
        index.claim(id(number), owner(1, number), 0);
    }
    for number in (701..1000).chain([1]) {
        let taken = matches!(index.claim(id(number), owner(2, 1), 0), Claimed::Taken { .. });
        assert!(taken, "{number}");
    }
}

#[test]
fn expired_ids_give_way_before_any_that_count_whosever_they_are() {
    let mut index = index_of(2, 100);
    for number in 0..60 {
        index.claim(id(number), owner(0, number + 1), 0);
    }
    let later = 2 * WINDOW;
    for number in 100..200 {
        index.claim(id(number), owner(1, number), later);
    }
    for number in 100..200 {
        let taken = Claimed::Taken { by: owner(1, number) };
        assert_eq!(index.claim(id(number), owner(0, 1), later), taken, "{number}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Claim { id: u64, source: u32, sequence: u64, after: u64 },
    Release { source: u32, first: u64, count: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![8 => 0..SPAN * 3, 1 => 0..WINDOW, 1 => 0..WINDOW * 3];
    let claim = (0..60_u64, 0..3_u32, 1..20_u64, after)
        .prop_map(|(id, source, sequence, after)| Step::Claim { id, source, sequence, after });
    let release = (0..3_u32, 1..20_u64, 1..5_u64)
        .prop_map(|(source, first, count)| Step::Release { source, first, count });
    prop_oneof![20 => claim, 1 => release]
}

/// By id: its owner, since when, and how many claims of that source were granted before.
type Model = HashMap<u64, (Owner, u64, usize)>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Compares the index with a map that forgets nothing: an id in the map that is not too old, and within the share
    /// of its source, is known; other ids are not.
    #[test]
    fn an_index_answers_as_a_map_does(
        limit in 1..40_usize,
        sources in 1..4_usize,
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let mut index = index_of(sources, limit);
        let mut model = Model::new();
        let mut granted = [0; 3];
        let mut now = 1_000_000;
        for step in steps {
            match step {
                Step::Release { source, first, count } => {
                    let source = source % sources as u32;
                    let sequences = first..first + count;
                    index.release(source, &sequences);
                    model.retain(|_, (owner, ..)| {
                        owner.source != source || !sequences.contains(&owner.position.sequence)
                    });
                }
                Step::Claim { id: number, source, sequence, after } => {
                    now += after;
                    let claimant = owner(source % sources as u32, sequence);
                    let claimed = index.claim(id(number), claimant, now);
                    let known = model.get(&number).copied();
                    let expected = known.map_or(Claimed::First, |(held, ..)| {
                        if held == claimant { Claimed::Own } else { Claimed::Taken { by: held } }
                    });
                    let age = known.map_or(0, |(_, since, _)| now - since);
                    // A claim that was given up keeps its place until its turn comes, so an id may be one of
                    // too many when as many as that were granted since.
                    let since = known.map_or(0, |(held, _, at)| granted[held.source as usize] - at);
                    if age > WINDOW + SPAN || since > limit {
                        prop_assert_eq!(claimed, Claimed::First);
                    } else if age <= WINDOW && since <= limit / sources {
                        prop_assert_eq!(claimed, expected);
                    } else if claimed != Claimed::First {
                        prop_assert_eq!(claimed, expected);
                    }
                    if claimed == Claimed::First {
                        let granted = &mut granted[claimant.source as usize];
                        model.insert(number, (claimant, now, *granted));
                        *granted += 1;
                    }
                }
            }
            prop_assert!(index.len() <= limit);
        }
    }
}
